// The reader's own file as slices: a picture (PNG, JPEG) or a NIfTI volume. It is read here and goes nowhere.

const LARGEST_SIDE = 2048;

// Returns slices as the page keeps them. Throws an Error in words for the reader.
async function readFile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const found = /\.nii(\.gz)?$/i.test(file.name)
    ? await readNifti(bytes, file.name)
    : [await readPicture(bytes, file)];
  const intensity = found[0].intensity || intensityOf(found, file.name);
  return found.map((slice, z) => ({ ...slice, key: `file-${file.name}-${z}`, stored: null, intensity, truth: null }));
}

// A picture as grey levels 0..255, by the weights that colour television gave red, green and blue.
async function readPicture(bytes, { name, type }) {
  const bitmap = await createImageBitmap(new Blob([bytes], { type })).catch(() => null);
  if (!bitmap) refuse(`${name} is neither a picture (PNG, JPEG) nor a NIfTI file (.nii, .nii.gz).`);
  const { width: W, height: H } = bitmap;
  if (Math.max(W, H) > LARGEST_SIDE) refuse(`${name} has ${W} x ${H} pixels: give at most ${LARGEST_SIDE} a side.`);
  const canvas = new OffscreenCanvas(W, H), pen = canvas.getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const rgba = pen.getImageData(0, 0, W, H).data, data = new Float32Array(H * W);
  for (let p = 0; p < data.length; p++) {
    data[p] = (19595 * rgba[4 * p] + 38470 * rgba[4 * p + 1] + 7471 * rgba[4 * p + 2] + 32768) >> 16;
  }
  return { label: name, H, W, data, intensity: "grey" };
}

// HU or grey levels, by the rules of covidseg.scans.read: air is -1000, grey levels are never negative.
function intensityOf(slices, name) {
  let low = Infinity, high = -Infinity;
  for (const { data } of slices) {
    const ends = extremes(data);
    low = Math.min(low, ends.low);
    high = Math.max(high, ends.high);
  }
  if (low < -200) return "HU";
  if (low >= 0 && high <= 1) {
    for (const { data } of slices) data.forEach((v, p) => (data[p] = 255 * v));
    return "grey";
  }
  if (low >= 0 && high <= 255) return "grey";
  return refuse(`${name} holds ${low} to ${high}: neither CT numbers (air is -1000) nor grey levels (0 to 255).`);
}
