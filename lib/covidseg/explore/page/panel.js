// One of the two pictures with all that belongs to it: its choices, its colour scale, its caption.

class Panel {
  // on: what View wants, and changed(): the reader chose another network or layer.
  constructor(index, explorer, on) {
    Object.assign(this, { index, explorer, on, memory: new Map() });
    this.box = document.getElementById(`view-${index}`);
    const find = (selector) => this.box.querySelector(selector);
    this.part = {
      source: find("[data-of=source]"), layer: find("[data-of=layer]"), caption: find("figcaption"),
      low: find(".low"), high: find(".high"), bar: find(".bar"), legend: find(".legend"), value: find(".value"),
    };
    this.view = new View(find("canvas"), on);
    this.view.panel = this;
    this.words = [""];
    this.part.bar.getContext("2d").putImageData(new ImageData(heatRow(), 256, 1), 0, 0);
    this.part.source.addEventListener("change", () => {
      this.choice.source = this.part.source.value;
      on.changed(this);
    });
    this.part.layer.addEventListener("change", () => {
      Object.assign(this.choice, { layer: this.part.layer.value, channel: 0 });
      on.changed(this);
    });
  }

  get choice() {
    return this.explorer.state.views[this.index];
  }

  // ------------------------------------------------------------------------------------------ choices

  fillChoices() {
    const { explorer, choice, part } = this, sources = explorer.sources();
    if (!sources.find(({ value }) => value === choice.source)?.usable) {
      choice.source = sources.find(({ usable }) => usable).value;
    }
    fillSelect(part.source, sources.map(({ value, label, usable }) => ({ value, label, disabled: !usable })));
    part.source.value = choice.source;
    if (choice.layer !== explorer.info(choice).name) { // another network may not have this layer
      Object.assign(choice, { layer: explorer.info(choice).name, channel: 0 });
    }
    const layers = explorer.layers(choice).map((info) => ({
      value: info.name, group: info.kind, label: [info.of, info.place].filter(Boolean).join(" \u00b7 "),
    }));
    fillSelect(part.layer, layers);
    part.layer.value = choice.layer;
  }

  // ------------------------------------------------------------------------------------------ drawing

  // Draw again; while the network still computes, later wishes are gathered into one.
  async refresh() {
    this.again = true;
    if (this.running) return;
    this.running = true;
    while (this.again) {
      this.again = false;
      try {
        await this.draw();
      } catch (error) {
        this.on.failed(error);
      }
    }
    this.running = false;
  }

  async draw() {
    const { explorer, choice } = this, { state } = explorer;
    const slice = await explorer.slice();
    const waiting = setTimeout(() => this.box.classList.add("busy"), 60);
    try {
      this.look = await explorer.look(choice, slice);
      this.plain = choice.source.endsWith("*")
        ? await explorer.look({ ...choice, source: choice.source.slice(0, -1) }, slice) : null;
      const views = state.range === "views" ? state.views : [];
      this.others = await Promise.all(views.map(async (view) => explorer.channel(view, await explorer.look(view, slice))));
    } finally {
      clearTimeout(waiting);
    }
    if (this.again) return; // something newer waits
    this.box.classList.remove("busy");
    this.paint(slice);
    this.on.drawn(this);
  }

  paint(slice) {
    const { explorer, choice, look } = this, { state } = explorer, { H, W } = look;
    const channel = explorer.channel(choice, look);
    const limits = explorer.limits(choice, look, channel, this.others);
    const values = explorer.values(choice, slice);
    const grey = this.once("grey", [values, ...state.window], () => greyOf(slice, values, state.window));
    const spreadOut = this.once("map", [look, choice.layer, choice.channel, state.cells], () =>
      spread(channel, H, W, state.cells));
    const mask = this.once("mask", [look, state.threshold], () => maskOf(look.odds, state.threshold));
    const outcome = state.outlines === "outcome";
    const image = mixed(grey, outcome ? null : spreadOut, H, W, { ...limits, blend: state.blend });
    if (outcome && slice.truth) paintOutcomes(image, mask, slice.truth, 0.6);
    Object.assign(this, { slice, channel, mask, image });
    this.view.show({ image, H, W, outlines: this.outlines(mask, slice, H, W) });
    this.showScale(limits, outcome);
    this.showCaption(slice, channel, mask);
    this.showValue();
  }

  // What was made of the same things before is not made again.
  once(name, causes, make) {
    const known = this.memory.get(name);
    if (known && known.causes.every((cause, i) => cause === causes[i])) return known.result;
    const result = make();
    this.memory.set(name, { causes, result });
    return result;
  }

  outlines(mask, slice, H, W) {
    const { outlines } = this.explorer.state, { prediction, truth } = catalogue.colours, found = [];
    if (slice.truth && ["both", "truth"].includes(outlines)) {
      const lines = this.once("truth", [slice], () => borderOf(slice.truth, H, W));
      found.push({ name: "truth", lines, colour: truth, dashed: true });
    }
    if (["both", "prediction"].includes(outlines)) {
      const lines = this.once("border", [mask], () => borderOf(mask, H, W));
      found.push({ name: "prediction", lines, colour: prediction, dashed: false });
    }
    return found;
  }

  // ------------------------------------------------------------------------------------------ words

  showScale({ low, high }, outcome) {
    const { part } = this, { colours } = catalogue;
    part.low.textContent = outcome ? "" : number(low);
    part.high.textContent = outcome ? "" : number(high);
    part.bar.hidden = outcome;
    const entries = outcome
      ? ["hit", "missed", "false alarm"].map((name) => [name, colours[name], "filled"])
      : this.view.scene.outlines.map(({ name, colour, dashed }) => [name, colour, dashed ? "dashed" : ""]);
    part.legend.replaceChildren(...entries.map(([name, colour, kind]) => {
      const entry = document.createElement("span");
      entry.textContent = name;
      entry.className = kind;
      entry.style.setProperty("--c", colour);
      return entry;
    }));
  }

  showCaption(slice, channel, mask) {
    const { explorer, choice, look, part } = this, info = explorer.info(choice), { label } = explorer.network(choice);
    const changed = choice.source.endsWith("*"), said = changed ? explorer.changes(slice) : [];
    const title = titleOf(info, Math.min(choice.channel, info.channels.length - 1));
    const shape = [info.channels.length, channel.H, channel.W];
    const words = [...detailsOf({ ...info, shape }, channel)];
    if (info !== PREDICTION) words.push(difference(regionsOf(channel, mask, look.H, look.W)));
    const marks = [maskInWords(mask, slice.truth, explorer.state.threshold)];
    if (this.plain) marks.push(this.comparison(said, mask));
    this.words = [`${title} \u2014 ${label}${changed ? ", changed by you" : ""}, ${slice.label}`, ...words, ...marks];
    part.caption.replaceChildren(
      paragraph("", document.createElement("b"), title), ...words.map((text) => paragraph("", text)),
      ...marks.map((text) => paragraph("strong", text)));
    const shown = `${label}, ${title}, ${slice.label}`;
    this.view.canvas.setAttribute("aria-label", `Picture ${this.index ? "right" : "left"}: ${shown}`);
  }

  comparison(said, mask) {
    if (!said.length) return "You have changed nothing yet: this is the network as it is.";
    const before = maskOf(this.plain.odds, this.explorer.state.threshold), many = differing(mask, before);
    return `Changed: ${said.join(", ")}. ${many} pixels of the mask differ; before, ${count(before)} were marked.`;
  }

  // What lies under the cross.
  showValue() {
    const { part, view, slice, look, channel } = this, { cross } = view;
    part.value.textContent = "\u00a0";
    if (!cross || !slice) return;
    const { row, column } = cross, at = row * look.W + column;
    const info = this.explorer.info(this.choice), values = this.explorer.values(this.choice, slice);
    const cell = channel.data[Math.floor((row * channel.H) / look.H) * channel.W + Math.floor((column * channel.W) / look.W)];
    const unit = slice.intensity === "HU" ? " HU" : " grey";
    const words = [`row ${row}, column ${column}: ${Math.round(values[at])}${unit}`.replace(": -", ": \u2212")];
    words.push(`${info.of} ${number(cell)}`);
    if (info !== PREDICTION) words.push(`p ${number((look.odds[at] + 0.5) / 256)}`);
    if (slice.truth) words.push(slice.truth[at] ? "infected in truth" : "not infected in truth");
    part.value.textContent = words.join("  \u00b7  ");
  }
}

function paragraph(kind, ...parts) {
  const p = document.createElement("p");
  p.className = kind;
  if (parts[0] instanceof Element) parts[0].textContent = parts.pop();
  p.append(...parts);
  return p;
}

function heatRow() {
  const row = new Uint8ClampedArray(4 * 256).fill(255);
  for (let step = 0; step < 256; step++) row.set(HEAT.subarray(3 * step, 3 * step + 3), 4 * step);
  return row;
}

// Options of a select, in groups where they have one; made anew only where they differ.
function fillSelect(select, items) {
  const same = JSON.stringify(items);
  if (select.dataset.same === same) return;
  select.dataset.same = same;
  select.replaceChildren();
  let group = null;
  for (const item of items) {
    if (item.group && group?.label !== item.group) {
      group = document.createElement("optgroup");
      group.label = item.group;
      select.append(group);
    }
    const option = new Option(item.label, item.value);
    option.disabled = Boolean(item.disabled);
    (item.group ? group : select).append(option);
  }
}
