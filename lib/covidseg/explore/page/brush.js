// Painting into a slice: a disc of one kind of tissue at a time, with undo. The slice itself is never changed.

class Brush {
  constructor() {
    this.strokes = new Map(); // key of a slice -> list of strokes, each a list of {row, column, radius, hu}
  }

  of(slice) {
    return this.strokes.get(slice.key) || [];
  }

  add(slice, dab, begins) {
    const strokes = [...this.of(slice)];
    if (begins || !strokes.length) strokes.push([]);
    strokes[strokes.length - 1] = [...strokes[strokes.length - 1], dab];
    this.strokes.set(slice.key, strokes);
  }

  undo(slice) {
    this.strokes.set(slice.key, this.of(slice).slice(0, -1));
  }

  clear(slice) {
    this.strokes.delete(slice.key);
  }

  // The values of the slice with all strokes painted in: Float32Array (H * W); made once for the same strokes.
  painted(slice) {
    const strokes = this.strokes.get(slice.key);
    if (!strokes?.length) return slice.data;
    this.last = this.last?.strokes === strokes ? this.last : { strokes, data: this.paint(slice, strokes) };
    return this.last.data;
  }

  paint(slice, strokes) {
    const data = slice.data.slice();
    for (const { row, column, radius, hu } of strokes.flat()) {
      const value = slice.intensity === "HU" ? hu : fromHU(hu);
      for (let r = Math.max(0, row - radius); r <= Math.min(slice.H - 1, row + radius); r++) {
        const half = Math.floor(Math.sqrt(radius * radius - (r - row) ** 2));
        const left = Math.max(0, column - half), right = Math.min(slice.W - 1, column + half);
        data.fill(value, r * slice.W + left, r * slice.W + right + 1);
      }
    }
    return data;
  }
}

// The grey level 0..255 that stands for a CT number, see toHU.
function fromHU(hu) {
  const [level, width] = catalogue.window;
  return Math.min(255, Math.max(0, Math.round((255 * (hu - level + width / 2)) / width)));
}
