// From arrays to pixels: a slice in grey, a map in colours over it, the borders of masks. Pure functions.

const HEAT = Uint8Array.from(atob(catalogue.heat), (c) => c.charCodeAt(0)); // 256 x (red, green, blue)

// The slice as grey 0..255: Uint8Array (H * W). window [level, width] in HU; grey pictures are taken through it too,
// as if their black were the low end of the window they were made in and their white its high end.
function greyOf(slice, values, [level, width]) {
  const grey = new Uint8Array(values.length), low = level - width / 2;
  for (let p = 0; p < grey.length; p++) {
    const hu = slice.intensity === "HU" ? values[p] : toHU(values[p]);
    grey[p] = Math.min(255, Math.max(0, (255 * (hu - low)) / width + 0.5));
  }
  return grey;
}

// A grey level 0..255 as the CT number it stands for, if the picture was made in the usual window of the lungs.
function toHU(level) {
  const [middle, width] = catalogue.window;
  return middle - width / 2 + (level / 255) * width;
}

// A map over the slice: ImageData (H, W). values: Float32Array (H * W), already of the slice's size, or null.
// Between blend 0 (the slice alone) and 1 (the map alone) high values cover more than low ones, so the slice stays
// readable where the map has little to say.
function mixed(grey, values, H, W, { low, high, blend }) {
  const image = new ImageData(W, H), out = image.data, table = mixTable(blend);
  const scale = high > low ? 255 / (high - low) : 0;
  for (let p = 0; p < grey.length; p++) {
    let keep = 1, red = 0, green = 0, blue = 0;
    if (values) {
      const step = Math.min(255, Math.max(0, (values[p] - low) * scale)) | 0;
      keep = table[4 * step];
      red = table[4 * step + 1];
      green = table[4 * step + 2];
      blue = table[4 * step + 3];
    }
    const g = grey[p] * keep;
    out[4 * p] = g + red;
    out[4 * p + 1] = g + green;
    out[4 * p + 2] = g + blue;
    out[4 * p + 3] = 255;
  }
  return image;
}

// For each of 256 steps: how much of the grey stays, and the colour that comes over it.
function mixTable(blend) {
  const table = new Float32Array(4 * 256);
  for (let step = 0; step < 256; step++) {
    const cover = blend ** (2 - (1.5 * step) / 255);
    table[4 * step] = 1 - cover;
    for (let c = 0; c < 3; c++) table[4 * step + 1 + c] = cover * HEAT[3 * step + c] + 0.5;
  }
  return table;
}

// A channel at the slice's size: smooth, or each value as the square that it stands for.
function spread(channel, H, W, cells) {
  if (!cells) return resize({ ...channel, C: 1 }, H, W, channel.H > H).data;
  const out = new Float32Array(H * W);
  for (let r = 0; r < H; r++) {
    const row = Math.floor((r * channel.H) / H) * channel.W;
    for (let q = 0; q < W; q++) out[r * W + q] = channel.data[row + Math.floor((q * channel.W) / W)];
  }
  return out;
}

// The border of a mask as lines between pixels: [x1, y1, x2, y2, ...], in pixels, runs of edges joined.
function borderOf(mask, H, W) {
  const across = edgesOf(mask, H, W, W, 1), down = edgesOf(mask, W, H, 1, W), lines = [];
  for (let i = 0; i < across.length; i += 3) lines.push(across[i + 1], across[i], across[i + 2], across[i]);
  for (let i = 0; i < down.length; i += 3) lines.push(down[i], down[i + 1], down[i], down[i + 2]);
  return lines;
}

// Edges between neighbours along one axis: [before which of them, from, to, ...]. far: the way in memory from one of n
// to the next, near: from one of the m along an edge to the next. Beyond the picture nothing is marked.
function edgesOf(mask, n, m, far, near) {
  const edges = [];
  for (let i = 0; i <= n; i++) {
    let begin = -1;
    for (let j = 0; j < m; j++) {
      const p = i * far + j * near;
      const edge = (i > 0 ? mask[p - far] : 0) !== (i < n ? mask[p] : 0);
      if (edge && begin < 0) begin = j;
      if (!edge && begin >= 0) {
        edges.push(i, begin, j);
        begin = -1;
      }
    }
    if (begin >= 0) edges.push(i, begin, m);
  }
  return edges;
}

// Hits, misses and false alarms painted into a picture, as the kit's figures have them.
function paintOutcomes(image, mask, truth, alpha) {
  const { hit, missed, "false alarm": alarm } = catalogue.colours;
  for (let p = 0; p < mask.length; p++) {
    const colour = truth[p] ? (mask[p] ? hit : missed) : mask[p] ? alarm : null;
    if (!colour) continue;
    for (let c = 0; c < 3; c++) {
      const value = parseInt(colour.slice(1 + 2 * c, 3 + 2 * c), 16);
      image.data[4 * p + c] += alpha * (value - image.data[4 * p + c]);
    }
  }
}

// A small picture of one channel, in the colours of the map, drawn into a canvas of its own size.
function drawThumbnail(canvas, values, h, w, low, high) {
  canvas.width = w;
  canvas.height = h;
  const black = new Uint8Array(h * w);
  canvas.getContext("2d").putImageData(mixed(black, values, h, w, { low, high, blend: 1 }), 0, 0);
}
