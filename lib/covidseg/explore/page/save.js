// The view as a file: PNG or SVG, each with its caption, made here and handed to the reader.

const FILE_SIDE = 1024, TEXT_SIZE = 20, LINE = 28;

// view: a View; words: lines of the caption.
function asSVG(view, words) {
  const { W, H } = view.scene, unit = FILE_SIDE / Math.max(W, H), lines = wrapped(words, W * unit);
  const escape = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
  const path = (l) => l.reduce((d, v, i) => d + (i % 4 === 0 ? `M${v}` : i % 4 === 2 ? `L${v}` : ` ${v}`), "");
  const outlines = view.scene.outlines.map(({ lines: l, colour, dashed }) =>
    `<path d="${path(l)}" fill="none" stroke="#000" stroke-opacity=".55" stroke-width="${3.4 / unit}"/>` +
    `<path d="${path(l)}" fill="none" stroke="${colour}" stroke-width="${1.7 / unit}"` +
    `${dashed ? ` stroke-dasharray="${4 / unit}"` : ""}/>`);
  const { zoom } = view, seen = [W / zoom.scale, H / zoom.scale];
  const corner = [(zoom.x - 0.5 / zoom.scale) * W, (zoom.y - 0.5 / zoom.scale) * H];
  const text = lines.map((line, i) => `<text x="12" y="${H * unit + LINE * (i + 1)}">${escape(line)}</text>`);
  const height = H * unit + LINE * lines.length + 16;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${W * unit} ${height}" width="${W * unit}" height="${height}">` +
    `<title>${escape(words[0])}</title><rect width="100%" height="100%" fill="#fff"/>` +
    `<svg width="${W * unit}" height="${H * unit}" viewBox="${[...corner, ...seen].join(" ")}">` +
    `<image width="${W}" height="${H}" href="${view.backdrop.toDataURL()}"/>${outlines.join("")}</svg>` +
    `<g font-family="sans-serif" font-size="${TEXT_SIZE}" fill="#222">${text.join("")}</g></svg>`;
}

// The same as a canvas.
function asCanvas(view, words) {
  const { W, H } = view.scene, unit = FILE_SIDE / Math.max(W, H), lines = wrapped(words, W * unit);
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  canvas.width = Math.round(W * unit);
  canvas.height = Math.round(H * unit) + LINE * lines.length + 16;
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.save();
  pen.beginPath();
  pen.rect(0, 0, W * unit, H * unit);
  pen.clip();
  const { scale, x, y } = view.zoom, near = unit * scale;
  const left = (W * unit) / 2 - x * W * near, top = (H * unit) / 2 - y * H * near;
  pen.imageSmoothingEnabled = near < 4;
  pen.drawImage(view.backdrop, left, top, W * near, H * near);
  for (const outline of view.scene.outlines) view.drawOutline(pen, outline, near, left, top, 1.6);
  pen.restore();
  pen.fillStyle = "#222";
  pen.font = `${TEXT_SIZE}px sans-serif`;
  lines.forEach((line, i) => pen.fillText(line, 12, H * unit + LINE * (i + 1)));
  return canvas;
}

// Lines that fit a width in pixels.
function wrapped(words, width) {
  const pen = document.createElement("canvas").getContext("2d"), lines = [];
  pen.font = `${TEXT_SIZE}px sans-serif`;
  for (const sentence of words) {
    let line = "";
    for (const word of sentence.split(" ")) {
      if (line && pen.measureText(`${line} ${word}`).width > width - 24) {
        lines.push(line);
        line = word;
      } else {
        line = line ? `${line} ${word}` : word;
      }
    }
    lines.push(line);
  }
  return lines;
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
