// What Python stored in the page: a catalogue as JSON, and arrays as gzip in base64, unpacked when they are wanted.

const catalogue = JSON.parse(document.getElementById("catalogue").textContent);

// The bytes of one stored array.
async function unpack(id) {
  const text = atob(document.getElementById(id).textContent.trim());
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < packed.length; i++) packed[i] = text.charCodeAt(i);
  return gunzip(packed);
}

async function gunzip(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A stored slice: {key, label, H, W, intensity, data: Float32Array, truth: Uint8Array or null}.
async function storedSlice(index) {
  const { label, H, W, intensity, truth: known } = catalogue.slices[index];
  const data = Float32Array.from(new Int16Array((await unpack(`image-${index}`)).buffer));
  const truth = known ? await unpack(`truth-${index}`) : null;
  return { key: `stored-${index}`, stored: index, label, H, W, intensity, data, truth };
}

// What a network made of a stored slice. The bytes: low and high of every channel (float32), then the odds, then the
// maps, each value as one of 256 steps between its channel's low and high.
async function storedLook(index, number) {
  const { H, W } = catalogue.slices[index], { maps } = catalogue.networks[number];
  const bytes = await unpack(`look-${index}-${number}`);
  const channels = maps.reduce((sum, map) => sum + map.shape[0], 0);
  const ends = new Float32Array(bytes.buffer, 0, 2 * channels);
  let next = 8 * channels, seen = 0;
  const odds = bytes.subarray(next, (next += H * W)), found = {};
  for (const { name, shape: [C, h, w] } of maps) {
    found[name] = { C, H: h, W: w, steps: bytes.subarray(next, (next += C * h * w)) };
    found[name].ends = ends.subarray(2 * seen, 2 * (seen += C));
  }
  return { H, W, odds, maps: found };
}

// One channel of a map of a look: {data: Float32Array, H, W, low, high}.
function channelOf(map, channel) {
  const n = map.H * map.W;
  if (map.data) {
    const data = map.data.subarray(channel * n, (channel + 1) * n);
    return { data, H: map.H, W: map.W, ...extremes(data) };
  }
  const low = map.ends[2 * channel], high = map.ends[2 * channel + 1], data = new Float32Array(n);
  for (let p = 0; p < n; p++) data[p] = low + ((high - low) * map.steps[channel * n + p]) / 255;
  return { data, H: map.H, W: map.W, low, high };
}

function extremes(data) {
  let low = Infinity, high = -Infinity;
  for (let p = 0; p < data.length; p++) {
    if (data[p] < low) low = data[p];
    if (data[p] > high) high = data[p];
  }
  return { low, high };
}

// Lowest and highest value of all channels of a map.
function layerExtremes(map) {
  if (map.data) return extremes(map.data);
  return extremes(map.ends);
}

// Odds as the page keeps them, 0..255: 256 times the probability, and 128 or more exactly where infection wins.
function oddsInSteps(margin) {
  const steps = new Uint8Array(margin.length);
  for (let p = 0; p < steps.length; p++) {
    const step = Math.min(255, Math.floor(256 / (1 + Math.exp(-margin[p]))));
    steps[p] = margin[p] > 0 ? Math.max(128, step) : Math.min(127, step);
  }
  return steps;
}
