// From a slice to its mask, step by step as covidseg.predict does it: window, resize, normalise, run, resize back.

// slice: {data: Float32Array, H, W} in HU or grey 0..255; window in HU. Grey 0..1 in float32, as numpy has it: covidseg/data/transforms.py
function toGrey(slice, intensity, [level, width]) {
  const grey = emptyMap(1, slice.H, slice.W), f = Math.fround;
  const low = f(level - width / 2);
  for (let p = 0; p < grey.data.length; p++) {
    const value = intensity === "HU" ? f(f(slice.data[p] - low) / f(width)) : f(slice.data[p] / 255);
    grey.data[p] = Math.min(1, Math.max(0, value));
  }
  return grey;
}

// Grey (1, h, w) -> (channels, h, w), each with its own mean and standard deviation.
function normalise(grey, { mean, std }, channels) {
  const x = emptyMap(channels, grey.H, grey.W), n = grey.H * grey.W;
  for (let c = 0; c < channels; c++) {
    const m = Math.fround(mean[c]), s = Math.fround(std[c]);
    for (let p = 0; p < n; p++) x.data[c * n + p] = (grey.data[p] - m) / s;
  }
  return x;
}

// What the classes' logits say of infection: above 0 where it wins. (2, h, w) or, for one logit, (1, h, w).
function margin(logits) {
  if (logits.C === 1) return logits;
  const y = emptyMap(1, logits.H, logits.W), n = logits.H * logits.W;
  for (let p = 0; p < n; p++) y.data[p] = logits.data[n + p] - logits.data[p];
  return y;
}

// job: {slice, intensity, window, size, off}. Returns {odds: (1, H, W) on the slice's own pixels, infection where
// above 0; maps; ms}. The logits are resized, not the finished mask: a border keeps its place between two pixels.
function predictSlice(model, numbers, job) {
  const begin = performance.now();
  const { preprocessing } = model;
  const grey = toGrey(job.slice, job.intensity, job.window || preprocessing.window);
  const size = job.size || preprocessing.size;
  const small = resize(grey, size, size, preprocessing.antialias);
  const image = normalise(small, preprocessing, model.channels);
  const { logits, maps } = runNetwork(model.network, numbers, image, new Set(job.off));
  const odds = resize(margin(logits), job.slice.H, job.slice.W);
  return { odds, maps, ms: performance.now() - begin };
}
