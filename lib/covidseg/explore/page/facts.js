// What stands below a picture: words and numbers about a map, a mask, a pixel. Pure functions from arrays to text.

const number = (v) => (Math.abs(v) < 100 ? v.toFixed(2) : v.toFixed(0)).replace("-", "\u2212");
const percent = (share) =>
  share > 0 && share < 0.01 ? "<1 %" : share > 0.99 && share < 1 ? ">99 %" : `${Math.round(100 * share)} %`;

// Masks are Uint8Array of 0 and 1. A mask out of odds 0..255; threshold is a probability, and at 0.5 the mask is the one that covidseg.predict gives.
function maskOf(odds, threshold) {
  const least = Math.round(256 * threshold);
  const mask = new Uint8Array(odds.length);
  for (let p = 0; p < mask.length; p++) mask[p] = odds[p] >= least ? 1 : 0;
  return mask;
}

function count(mask) {
  let sum = 0;
  for (let p = 0; p < mask.length; p++) sum += mask[p];
  return sum;
}

// 2 * both / (one + other); 1 where both are empty.
function dice(mask, truth) {
  let both = 0, sum = 0;
  for (let p = 0; p < mask.length; p++) {
    both += mask[p] & truth[p];
    sum += mask[p] + truth[p];
  }
  return sum ? (2 * both) / sum : 1;
}

function differing(a, b) {
  let sum = 0;
  for (let p = 0; p < a.length; p++) sum += a[p] ^ b[p];
  return sum;
}

// The values of a map inside and outside a mask of another size: a value belongs inside if half of its patch does.
function regionsOf(channel, mask, H, W) {
  const ends = (i, n, N) => [Math.floor((i * N) / n), Math.ceil(((i + 1) * N) / n)];
  const inside = [], outside = [], columns = Array.from({ length: channel.W }, (_, q) => ends(q, channel.W, W));
  for (let r = 0; r < channel.H; r++) {
    const [top, bottom] = ends(r, channel.H, H);
    for (let q = 0; q < channel.W; q++) {
      const [left, right] = columns[q];
      let marked = 0;
      for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) marked += mask[y * W + x];
      const share = marked / ((bottom - top) * (right - left));
      (share >= 0.5 ? inside : outside).push(channel.data[r * channel.W + q]);
    }
  }
  return { inside, outside };
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

// The one sentence to take away.
function difference({ inside, outside }) {
  if (!inside.length) return "No value of this map lies in the predicted infection.";
  if (!outside.length) return "All of this map lies in the predicted infection.";
  const all = [...inside, ...outside], middle = mean(all);
  const deviation = Math.sqrt(mean(all.map((v) => (v - middle) ** 2)));
  const gap = mean(inside) - mean(outside);
  if (!deviation || Math.abs(gap) < 0.1 * deviation) {
    return `The map hardly tells the predicted infection from the rest (the means differ by ${Math.abs(gap).toFixed(3)}).`;
  }
  const words = `${Math.abs(gap).toFixed(3)} ${gap > 0 ? "higher" : "lower"}`;
  return `In the predicted infection the mean is ${words}: ${(Math.abs(gap) / deviation).toFixed(1)} standard deviations of the map.`;
}

// The title of what is shown: "A of E²₁, dilation 4".
function titleOf(info, channel) {
  return info.channels.length > 1 ? `${info.of}, ${info.word} ${info.channels[channel]}` : info.of;
}

// Its details: where it stands, how fine it is, and what its paper does with it.
function detailsOf(info, { low, high }) {
  const [, h, w] = info.shape;
  const size = `${h} \u00d7 ${w} values, ${info.patch}`;
  const gains = { low, high, gain_low: 1 + low, gain_high: 1 + high };
  const note = info.note.replace(/\{(\w+)\}/g, (_, word) => number(gains[word]));
  return [info.place ? `${info.place}: ${size}.` : `${size}.`, note].filter(Boolean);
}

// The mask in words: how much is marked, and how well it agrees with the truth.
function maskInWords(mask, truth, threshold) {
  const many = count(mask), share = many / mask.length;
  const words = [`Marked at ${threshold.toFixed(2)}: ${many} pixels (${(100 * share).toFixed(1)} % of the slice).`];
  if (truth) words.push(`Truth: ${count(truth)}; Dice ${dice(mask, truth).toFixed(2)}.`);
  return words.join(" ");
}
