// One picture: a canvas with zoom, pan, a cross under the pointer, and outlines that stay sharp at any zoom.

class View {
  // on: {moved(view), pointed(view, row, column), wheel(step), chosen(view), painted(view, row, column, begins)}
  constructor(canvas, on) {
    Object.assign(this, { canvas, on, zoom: { scale: 1, x: 0.5, y: 0.5 }, cross: null, scene: null, painting: false });
    this.backdrop = document.createElement("canvas"); // the slice with its map, one canvas pixel for each of its own
    this.fingers = new Map();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // scene: {image: ImageData, H, W, outlines: [{lines, colour, dashed}]}
  show(scene) {
    this.scene = scene;
    this.backdrop.width = scene.W;
    this.backdrop.height = scene.H;
    this.backdrop.getContext("2d").putImageData(scene.image, 0, 0);
    this.draw();
  }

  // Screen pixels for one pixel of the slice, and where its corner lies. zoom.x, zoom.y: what is in the middle, 0..1.
  frame() {
    const { width, height } = this.canvas, { H, W } = this.scene, { scale, x, y } = this.zoom;
    const unit = Math.min(width / W, height / H) * scale;
    return { unit, left: width / 2 - x * W * unit, top: height / 2 - y * H * unit };
  }

  draw() {
    const { canvas, scene } = this, ratio = window.devicePixelRatio || 1;
    const side = (length) => Math.max(1, Math.round(length * ratio));
    if (canvas.width !== side(canvas.clientWidth)) canvas.width = side(canvas.clientWidth);
    if (canvas.height !== side(canvas.clientHeight)) canvas.height = side(canvas.clientHeight);
    if (!scene) return;
    const pen = canvas.getContext("2d"), { unit, left, top } = this.frame();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = unit < 4 * ratio; // far in, pixels are what they are
    pen.drawImage(this.backdrop, left, top, scene.W * unit, scene.H * unit);
    for (const outline of scene.outlines) this.drawOutline(pen, outline, unit, left, top, ratio);
    if (this.cross) this.drawCross(pen, unit, left, top, ratio);
  }

  // A dark line below the coloured one: visible on every colour of a map.
  drawOutline(pen, { lines, colour, dashed }, unit, left, top, ratio) {
    pen.beginPath();
    for (let i = 0; i < lines.length; i += 4) {
      pen.moveTo(left + lines[i] * unit, top + lines[i + 1] * unit);
      pen.lineTo(left + lines[i + 2] * unit, top + lines[i + 3] * unit);
    }
    pen.setLineDash([]);
    pen.lineCap = "square";
    pen.lineWidth = 3.4 * ratio;
    pen.strokeStyle = "rgba(0, 0, 0, 0.55)";
    pen.stroke();
    if (dashed) pen.setLineDash([4 * ratio, 4 * ratio]);
    pen.lineWidth = 1.7 * ratio;
    pen.strokeStyle = colour;
    pen.stroke();
    pen.setLineDash([]);
  }

  drawCross(pen, unit, left, top, ratio) {
    const x = left + (this.cross.column + 0.5) * unit, y = top + (this.cross.row + 0.5) * unit;
    const arm = (dx, dy) => {
      pen.moveTo(x + 4 * dx * ratio, y + 4 * dy * ratio);
      pen.lineTo(x + 11 * dx * ratio, y + 11 * dy * ratio);
    };
    for (const [width, colour] of [[4, "rgba(0, 0, 0, 0.6)"], [1.6, "#fff"]]) {
      pen.beginPath();
      [[1, 0], [-1, 0], [0, 1], [0, -1]].forEach(([dx, dy]) => arm(dx, dy));
      pen.lineWidth = width * ratio;
      pen.strokeStyle = colour;
      pen.stroke();
    }
    if (this.brush) {
      pen.beginPath();
      pen.arc(x, y, (this.brush + 0.5) * unit, 0, 7);
      pen.lineWidth = 1.5 * ratio;
      pen.stroke();
    }
  }

  // ------------------------------------------------------------------------------------------ moving

  // The pixel of the slice below a place on the screen, or null beside the slice.
  pixelAt(clientX, clientY) {
    if (!this.scene) return null;
    const box = this.canvas.getBoundingClientRect(), ratio = this.canvas.width / box.width;
    const { unit, left, top } = this.frame();
    const column = Math.floor(((clientX - box.left) * ratio - left) / unit);
    const row = Math.floor(((clientY - box.top) * ratio - top) / unit);
    return row >= 0 && column >= 0 && row < this.scene.H && column < this.scene.W ? { row, column } : null;
  }

  // Zoom by a factor; the cross, or else the middle, stays where it is.
  zoomBy(factor) {
    const scale = Math.min(16, Math.max(1, this.zoom.scale * factor)), { H, W } = this.scene;
    const fixed = this.cross ? [(this.cross.column + 0.5) / W, (this.cross.row + 0.5) / H] : [this.zoom.x, this.zoom.y];
    const kept = 1 - this.zoom.scale / scale;
    this.moveTo(scale, this.zoom.x + (fixed[0] - this.zoom.x) * kept, this.zoom.y + (fixed[1] - this.zoom.y) * kept);
  }

  moveTo(scale, x, y) {
    const inside = (v) => Math.min(1 - 0.5 / scale, Math.max(0.5 / scale, v)); // no more emptiness than there is
    this.zoom = { scale, x: inside(x), y: inside(y) };
    this.on.moved(this);
  }

  // Begin with a part of the slice in sight: [top, bottom, left, right] as shares of it, with a little room around.
  fit([top, bottom, left, right]) {
    const { clientWidth, clientHeight } = this.canvas, { H, W } = this.scene;
    const unit = Math.min(clientWidth / W, clientHeight / H);
    const scale = 0.96 * Math.min(clientWidth / (unit * W * (right - left)), clientHeight / (unit * H * (bottom - top)));
    this.moveTo(Math.max(1, scale), (left + right) / 2, (top + bottom) / 2);
  }

  point(pixel) {
    this.on.pointed(this, pixel);
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey || event.shiftKey) {
        this.zoomBy((event.deltaY || event.deltaX) < 0 ? 1.25 : 0.8);
      } else {
        this.on.wheel(Math.sign(event.deltaY));
      }
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.fingers.delete(event.pointerId));
    }
    canvas.addEventListener("pointerleave", () => this.fingers.size || this.point(null));
    canvas.addEventListener("dblclick", () => this.moveTo(1, 0.5, 0.5));
    canvas.addEventListener("focus", () => this.on.chosen(this));
    canvas.addEventListener("keydown", (event) => this.pressKey(event));
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
    this.on.chosen(this);
    const pixel = this.pixelAt(event.clientX, event.clientY);
    this.point(pixel);
    if (this.painting && pixel && this.fingers.size === 1) this.on.painted(this, pixel, true);
  }

  drag(event) {
    const before = this.fingers.get(event.pointerId), now = [event.clientX, event.clientY];
    const pixel = this.pixelAt(...now);
    if (!before) return this.point(pixel);
    if (this.fingers.size === 2) {
      const [, other] = [...this.fingers].find(([id]) => id !== event.pointerId);
      const apart = (a) => Math.max(1, Math.hypot(a[0] - other[0], a[1] - other[1]));
      this.zoomBy(apart(now) / apart(before));
    } else if (this.painting) {
      this.point(pixel);
      if (pixel) this.on.painted(this, pixel, false);
    } else {
      const ratio = this.canvas.width / this.canvas.clientWidth, { unit } = this.frame(), { H, W } = this.scene;
      const x = this.zoom.x - ((now[0] - before[0]) * ratio) / (W * unit);
      this.moveTo(this.zoom.scale, x, this.zoom.y - ((now[1] - before[1]) * ratio) / (H * unit));
    }
    this.fingers.set(event.pointerId, now);
  }

  pressKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.scene) return;
    const step = event.shiftKey ? 10 : 1, { H, W } = this.scene;
    const moves = { ArrowLeft: [0, -step], ArrowRight: [0, step], ArrowUp: [-step, 0], ArrowDown: [step, 0] };
    const keys = {
      "+": () => this.zoomBy(1.25), "=": () => this.zoomBy(1.25), "-": () => this.zoomBy(0.8),
      0: () => this.moveTo(1, 0.5, 0.5), PageUp: () => this.on.wheel(1), PageDown: () => this.on.wheel(-1),
      Escape: () => this.point(null),
      " ": () => this.painting && this.cross && this.on.painted(this, this.cross, true),
    };
    if (moves[event.key]) {
      const { row, column } = this.cross || { row: Math.floor(H / 2), column: Math.floor(W / 2) };
      const within = (v, n) => Math.min(n - 1, Math.max(0, v));
      const [down, right] = moves[event.key];
      this.point({ row: within(row + down, H), column: within(column + right, W) });
      this.follow();
    } else if (keys[event.key]) {
      keys[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  }

  // Keep the cross in sight.
  follow() {
    const { scale } = this.zoom, { H, W } = this.scene, reach = 0.45 / scale;
    const near = (middle, at) => Math.min(at + reach, Math.max(at - reach, middle));
    this.moveTo(scale, near(this.zoom.x, this.cross.column / W), near(this.zoom.y, this.cross.row / H));
  }
}
