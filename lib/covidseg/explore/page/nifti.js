// A NIfTI file (.nii, .nii.gz) as upright slices, read as covidseg.scans reads it: row 0 in front, column 0 the
// patient's right, slice 0 the feet.

const NIFTI_TYPES = {
  2: [1, "getUint8"], 4: [2, "getInt16"], 8: [4, "getInt32"], 16: [4, "getFloat32"], 64: [8, "getFloat64"],
  256: [1, "getInt8"], 512: [2, "getUint16"], 768: [4, "getUint32"],
};

// Returns [{label, H, W, data}], or throws an Error whose message names the way out.
async function readNifti(bytes, name) {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) bytes = await gunzip(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = bytes.length > 352 ? readHeader(view, name) : refuse(`${name} is too short for a NIfTI file.`);
  const { shape, type, offset, slope, intercept, little } = header;
  const [size, get] = type, voxels = shape[0] * shape[1] * shape[2];
  if (offset + voxels * size > bytes.length) refuse(`${name} ends too early: it is damaged.`);
  const { order, flip } = uprightAxes(header.affine, name);
  const strides = [1, shape[0], shape[0] * shape[1]];
  const [H, W, D] = order.map((axis) => shape[axis]), slices = [];
  const place = (n, i) => (flip[n] ? shape[order[n]] - 1 - i : i) * strides[order[n]];
  for (let z = 0; z < D; z++) {
    const data = new Float32Array(H * W);
    for (let r = 0; r < H; r++) {
      for (let q = 0; q < W; q++) {
        const at = place(0, r) + place(1, q) + place(2, z);
        data[r * W + q] = view[get](offset + at * size, little) * slope + intercept;
      }
    }
    if (!data.every(Number.isFinite)) refuse(`${name}: slice ${z} holds values that are not numbers; repair it first.`);
    slices.push({ label: `${name}, slice ${z + 1} of ${D}`, H, W, data });
  }
  return slices;
}

function refuse(message) {
  throw new Error(message);
}

function readHeader(view, name) {
  const little = view.getInt32(0, true) === 348;
  if (!little && view.getInt32(0, false) !== 348) refuse(`${name} is no NIfTI-1 file: save it as .nii or .nii.gz.`);
  const short = (at) => view.getInt16(at, little), real = (at) => view.getFloat32(at, little);
  const axes = short(40), shape = [1, 2, 3].map((n) => (n <= axes ? Math.max(1, short(40 + 2 * n)) : 1));
  for (let n = 4; n <= axes; n++) if (short(40 + 2 * n) > 1) refuse(`${name} has ${axes} axes: give one volume.`);
  const type = NIFTI_TYPES[short(70)];
  if (!type) refuse(`${name} keeps its numbers in a way that this page cannot read (type ${short(70)}).`);
  const slope = real(112), rescaled = Number.isFinite(slope) && slope !== 0;
  return {
    shape, type, little, offset: Math.round(real(108)), affine: affineOf(short, real),
    slope: rescaled ? slope : 1, intercept: rescaled ? real(116) : 0,
  };
}

// Three rows of the affine, without the shift: by sform, else by qform (a quaternion), else by the sizes of a voxel.
function affineOf(short, real) {
  const rows = [0, 1, 2];
  if (short(254) > 0) return rows.map((i) => rows.map((j) => real(280 + 16 * i + 4 * j)));
  const sizes = rows.map((j) => real(80 + 4 * j) || 1);
  if (short(252) <= 0) return rows.map((i) => rows.map((j) => (i === j ? sizes[j] : 0)));
  const [b, c, d] = [256, 260, 264].map(real), a = Math.sqrt(Math.max(0, 1 - b * b - c * c - d * d));
  sizes[2] *= real(76) < 0 ? -1 : 1;
  const turn = [
    [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
    [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
    [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
  ];
  return turn.map((row) => row.map((v, j) => v * sizes[j]));
}

// Which file axis runs down, to the right and up, and which of them backwards. Oblique ones are rounded.
function uprightAxes(affine, name) {
  const length = (j) => Math.hypot(...affine.map((row) => row[j]));
  const pairs = [];
  for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) pairs.push([Math.abs(affine[i][j]) / length(j), i, j]);
  pairs.sort((a, b) => b[0] - a[0]); // the clearest direction first
  const axisOf = {};
  for (const [share, world, axis] of pairs) {
    if (share > 0 && !(world in axisOf) && !Object.values(axisOf).includes(axis)) axisOf[world] = axis;
  }
  if (Object.keys(axisOf).length < 3) refuse(`${name} does not say which way it lies: its affine is no rotation.`);
  const order = [axisOf[1], axisOf[0], axisOf[2]]; // front to back, right to left, feet to head
  const grows = [affine[1][order[0]] < 0, affine[0][order[1]] < 0, affine[2][order[2]] > 0];
  return { order, flip: grows.map((right) => !right) };
}
