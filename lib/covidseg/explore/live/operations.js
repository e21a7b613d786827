// The operations of a small convolutional network, on maps {data: Float32Array, C, H, W}: channel after channel,
// row after row, as torch keeps them. Written to be read; fast enough because the innermost loops are plain.

function emptyMap(C, H, W) {
  return { data: new Float32Array(C * H * W), C, H, W };
}

// A convolution with zeros around the map. spec: {kernel, stride, dilation, padding, groups};
// weight: (C', C / groups, kernel, kernel), bias: (C').
// One filter tap at a time: the map, shifted by the tap and weighed, is added to the result. No pixel asks whether
// its neighbour exists, because the rows and columns that a tap can reach are known beforehand.
function conv(x, weight, bias, spec) {
  const { kernel, stride, dilation, padding, groups } = spec;
  const side = (n) => Math.floor((n + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
  const y = emptyMap(bias.length, side(x.H), side(x.W));
  const inputs = x.C / groups, outputs = y.C / groups, taps = kernel * kernel;
  for (let c = 0; c < y.C; c++) {
    const first = c * y.H * y.W;
    y.data.fill(bias[c], first, first + y.H * y.W);
    for (let i = 0; i < inputs; i++) {
      const source = (Math.floor(c / outputs) * inputs + i) * x.H * x.W;
      if (taps === 1 && stride === 1 && padding === 0 && i + 3 < inputs) { // 1x1 convolutions are most of the work: four channels a pass
        addFour(x, source, y, first, weight, c * inputs + i);
        i += 3;
        continue;
      }
      for (let t = 0; t < taps; t++) {
        const w = weight[(c * inputs + i) * taps + t];
        const down = Math.floor(t / kernel) * dilation - padding, right = (t % kernel) * dilation - padding;
        if (w !== 0) addTap(x, source, y, first, w, down, right, stride);
      }
    }
  }
  return y;
}

// y += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3, for four channels that follow each other and their weights.
function addFour(x, source, y, first, weight, at) {
  const n = x.H * x.W, values = x.data, sums = y.data;
  const w0 = weight[at], w1 = weight[at + 1], w2 = weight[at + 2], w3 = weight[at + 3];
  for (let p = source, q = first; q < first + n; p++, q++) {
    sums[q] += w0 * values[p] + w1 * values[p + n] + w2 * values[p + 2 * n] + w3 * values[p + 3 * n];
  }
}

// y[r, q] += w * x[r * stride + down, q * stride + right], wherever x has such a pixel.
function addTap(x, source, y, first, w, down, right, stride) {
  const from = (shift) => Math.max(0, Math.ceil(-shift / stride));
  const until = (n, most, shift) => Math.min(most, Math.floor((n - 1 - shift) / stride) + 1);
  const top = from(down), bottom = until(x.H, y.H, down);
  const left = from(right), end = until(x.W, y.W, right);
  const values = x.data, sums = y.data;
  for (let r = top; r < bottom; r++) {
    let p = source + (r * stride + down) * x.W + left * stride + right;
    const row = first + r * y.W;
    for (let q = left; q < end; q++, p += stride) sums[row + q] += w * values[p];
  }
}

// The mean of a square; zeros around the map count: a convolution of each channel with equal weights.
function pool(x, { kernel, stride, padding }) {
  const taps = kernel * kernel;
  const equal = new Float32Array(x.C * taps).fill(1 / taps);
  return conv(x, equal, new Float32Array(x.C), { kernel, stride, padding, dilation: 1, groups: x.C });
}

// x where x > 0, slope * x elsewhere; one slope for each channel.
function prelu(x, slope) {
  const y = emptyMap(x.C, x.H, x.W), n = x.H * x.W, from = x.data, to = y.data;
  for (let c = 0; c < x.C; c++) {
    const a = slope[slope.length > 1 ? c : 0];
    for (let p = c * n; p < (c + 1) * n; p++) to[p] = from[p] > 0 ? from[p] : a * from[p];
  }
  return y;
}

function add(x, z) {
  const y = emptyMap(x.C, x.H, x.W);
  for (let p = 0; p < y.data.length; p++) y.data[p] = x.data[p] + z.data[p];
  return y;
}

// x + x * a, with one map of attention for all channels.
function gate(x, a) {
  const y = emptyMap(x.C, x.H, x.W), n = x.H * x.W;
  for (let c = 0; c < x.C; c++) {
    for (let p = 0; p < n; p++) y.data[c * n + p] = x.data[c * n + p] * (1 + a.data[p]);
  }
  return y;
}

function sigmoid(x) {
  const y = emptyMap(x.C, x.H, x.W);
  for (let p = 0; p < y.data.length; p++) y.data[p] = 1 / (1 + Math.exp(-x.data[p]));
  return y;
}

function cat(maps) {
  const y = emptyMap(maps.reduce((sum, x) => sum + x.C, 0), maps[0].H, maps[0].W);
  let first = 0;
  for (const x of maps) {
    y.data.set(x.data, first);
    first += x.data.length;
  }
  return y;
}

// Channels first, first + 1, ... of x: a view, nothing is copied.
function part(x, first, count) {
  const n = x.H * x.W;
  return { data: x.data.subarray(first * n, (first + count) * n), C: count, H: x.H, W: x.W };
}

// What pixel j of `to` takes from a row of `from` pixels: [[first, weights], ...].
// A triangle around the pixel's centre; with smooth it is as wide as the shrinking asks (PIL's antialiasing), else it
// reaches the two neighbours only (bilinear). Half-pixel centres, weights add up to 1.
function resizeWeights(from, to, smooth) {
  const scale = from / to, reach = smooth ? Math.max(1, scale) : 1;
  return Array.from({ length: to }, (_, j) => {
    const centre = (j + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach + 0.5));
    const end = Math.min(from, Math.floor(centre + reach + 0.5));
    const weights = [];
    for (let p = first; p < end; p++) weights.push(Math.max(0, 1 - Math.abs(p + 0.5 - centre) / reach));
    const sum = weights.reduce((a, b) => a + b, 0);
    return [first, weights.map((w) => w / sum)];
  });
}

// Bilinear resize to H x W, first along the rows, then along the columns.
function resize(x, H, W, smooth = false) {
  if (x.H === H && x.W === W) return x;
  const wide = emptyMap(x.C, x.H, W), y = emptyMap(x.C, H, W);
  const columns = resizeWeights(x.W, W, smooth), rows = resizeWeights(x.H, H, smooth);
  for (let r = 0; r < x.C * x.H; r++) {
    for (let q = 0; q < W; q++) {
      const [first, weights] = columns[q];
      let sum = 0;
      for (let t = 0; t < weights.length; t++) sum += weights[t] * x.data[r * x.W + first + t];
      wide.data[r * W + q] = sum;
    }
  }
  for (let c = 0; c < x.C; c++) {
    for (let r = 0; r < H; r++) {
      const [first, weights] = rows[r], here = (c * H + r) * W;
      for (let q = 0; q < W; q++) {
        let sum = 0;
        for (let t = 0; t < weights.length; t++) sum += weights[t] * wide.data[(c * x.H + first + t) * W + q];
        y.data[here + q] = sum;
      }
    }
  }
  return y;
}
