// The page: its controls, and who draws again when one of them moves.

const explorer = new Explorer(), { state } = explorer;
const by = (id) => document.getElementById(id);
let begun = 0; // when the last wish came, for the time from a wish to its picture

const panels = [0, 1].map((index) => new Panel(index, explorer, {
  changed: (panel) => {
    state.active = panel.index;
    refresh();
  },
  chosen: ({ panel }) => choosePanel(panel.index),
  moved: (view) => {
    for (const { view: one } of panels) {
      if (one === view || state.linked) {
        one.zoom = { ...view.zoom };
        one.draw();
      }
    }
  },
  pointed: (view, pixel) => {
    for (const panel of panels) {
      panel.view.cross = panel.view === view || state.linked ? pixel : panel.view.cross;
      panel.view.draw();
      panel.showValue();
    }
    if (document.activeElement === view.canvas) say(view.panel.part.value.textContent);
  },
  wheel: (step) => setSlice(state.slice + step),
  painted: (_view, { row, column }, begins) => paint(row, column, begins),
  drawn: (panel) => {
    if (!explorer.drawn && panel.index === 0) panel.view.fit(catalogue.body);
    explorer.drawn = performance.now() - begun;
    if (panel.index === state.active) soon(showRibbons);
    showPass();
    say(`${panel.words[0]}. ${panel.words[panel.words.length - 1]}`);
  },
  failed: (error) => tell(error.message),
}));

function refresh() {
  begun = performance.now();
  panels.forEach((panel) => panel.fillChoices());
  panels.forEach((panel) => panel.refresh());
  showControls();
}

function choosePanel(index) {
  if (state.active === index) return;
  state.active = index;
  showControls();
  showRibbons();
}

// ------------------------------------------------------------------------------------------------ words

let speaking = 0, waiting = 0;

// The ribbons may come a moment after the picture.
function soon(work) {
  clearTimeout(waiting);
  waiting = setTimeout(work, 20);
}

// For readers who listen: said when nothing has moved for a moment.
function say(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => (by("status").textContent = text), 400);
}

function tell(text) {
  by("message").textContent = text;
  by("message").hidden = !text;
}

function showPass() {
  const timed = panels.filter(({ look }) => look?.ms);
  const side = state.size || catalogue.networks[catalogue.live]?.preprocessing.size;
  by("pass").textContent = timed.length ? `One pass: ${Math.round(timed.at(-1).look.ms)} ms at ${side} \u00d7 ${side}.` : "";
}

// ------------------------------------------------------------------------------------------------ ribbons

const layers = new Choices(by("layers"), (i) => chooseLayer({ layer: explorer.layers(choice())[i].name, channel: 0 }));
const channels = new Choices(by("channels"), (i) => chooseLayer({ channel: i }));
const choice = () => state.views[state.active];

function chooseLayer(change) {
  Object.assign(choice(), change);
  refresh();
}

function showRibbons() {
  const { look } = panels[state.active];
  if (!look) return;
  const infos = explorer.layers(choice()), info = explorer.info(choice());
  layers.fill(infos.map((one) => ({ group: one.kind, label: one.symbol.length > 1 || one.kind === "output" ? one.symbol : one.name, name: [one.of, one.place].filter(Boolean).join(", ") })));
  channels.fill(info.channels.map((label) => ({ group: info.name, label, name: `${info.word} ${label}` })));
  const { label, maps, named } = explorer.network(choice()), side = state.active ? "right" : "left";
  const kept = maps.length < named ? `; the page holds ${maps.length} of its ${named} maps` : "";
  by("layers-title").textContent = `Layers of ${label} (picture on the ${side}${kept})`;
  by("channels-title").textContent = `${info.of}: ${info.channels.length > 1 ? `its ${info.word}s` : "one map"}`;
  if (layers.look !== look) {
    infos.forEach((one, i) => {
      const map = look.maps[one.name], mean = map ? meanOf(map) : explorer.channel({ layer: one.name }, look).data;
      const { low, high } = map ? extremes(mean) : { low: 0, high: 1 }, { H, W } = map || look;
      drawThumbnail(layers.canvas(i), mean, H, W, low, high);
    });
  }
  if (channels.look !== look || channels.layer !== info.name) {
    info.channels.forEach((_, c) => {
      const { data, H, W, low, high } = explorer.channel({ ...choice(), channel: c }, look);
      drawThumbnail(channels.canvas(c), data, H, W, low, high);
    });
  }
  layers.look = channels.look = look;
  channels.layer = info.name;
  layers.mark(infos.indexOf(info));
  channels.mark(Math.min(choice().channel, info.channels.length - 1));
}

// ------------------------------------------------------------------------------------------------ controls

const SLIDERS = {
  level: { get: () => state.window[0], set: (v) => (state.window = [v, state.window[1]]), text: (v) => `${v} HU` },
  width: { get: () => state.window[1], set: (v) => (state.window = [state.window[0], v]), text: (v) => `${v} HU` },
  blend: { get: () => state.blend, set: (v) => (state.blend = v), text: (v) => v.toFixed(2) },
  threshold: { get: () => state.threshold, set: (v) => (state.threshold = v), text: (v) => v.toFixed(2) },
  radius: { get: () => brushRadius, set: (v) => (brushRadius = v), text: (v) => `${2 * v + 1} pixels` },
  slice: { get: () => state.slice, set: (v) => (state.slice = v), text: (v) => `${v + 1} of ${explorer.slices.length}` },
};
let brushRadius = 8;

for (const [id, { set }] of Object.entries(SLIDERS)) {
  by(id).addEventListener("input", (event) => {
    set(Number(event.target.value));
    refresh();
  });
}

function showControls() {
  by("slice").max = explorer.slices.length - 1;
  for (const [id, { get, text }] of Object.entries(SLIDERS)) {
    by(id).value = get();
    document.querySelector(`output[for=${id}]`).textContent = text(get());
  }
  for (const id of ["range", "outlines"]) by(id).value = state[id];
  by("cells").checked = state.cells;
  by("back").hidden = !explorer.ownFile;
  panels.forEach(({ box, index, view }) => {
    box.classList.toggle("active", index === state.active);
    view.painting = by("brush").getAttribute("aria-pressed") === "true";
    view.brush = view.painting ? brushRadius : 0;
  });
  for (const input of document.querySelectorAll(".switches input")) input.checked = !state.off.includes(input.value);
}

function setSlice(index) {
  state.slice = Math.min(explorer.slices.length - 1, Math.max(0, index));
  refresh();
}

for (const id of ["range", "outlines"]) {
  by(id).addEventListener("change", (event) => {
    state[id] = event.target.value;
    refresh();
  });
}
by("cells").addEventListener("change", (event) => {
  state.cells = event.target.checked;
  refresh();
});
for (const button of document.querySelectorAll("[data-window]")) {
  button.addEventListener("click", () => {
    state.window = button.dataset.window.split(",").map(Number);
    refresh();
  });
}
by("linked").addEventListener("change", (event) => {
  state.linked = event.target.checked;
  if (state.linked) panels[state.active].on.moved(panels[state.active].view);
});
by("nearer").addEventListener("click", () => panels[state.active].view.zoomBy(1.5));
by("farther").addEventListener("click", () => panels[state.active].view.zoomBy(1 / 1.5));
by("whole").addEventListener("click", () => panels[state.active].view.moveTo(1, 0.5, 0.5));

by("png").addEventListener("click", () => {
  const { view, words } = panels[state.active];
  asCanvas(view, words).toBlob((blob) => download(blob, "slice.png"));
});
by("svg").addEventListener("click", () => {
  const { view, words } = panels[state.active];
  download(new Blob([asSVG(view, words)], { type: "image/svg+xml" }), "slice.svg");
});
