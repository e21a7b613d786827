// The page's state, and what a network says of a slice: who must be asked, and what is kept.

const PREDICTION = {
  name: "prediction", kind: "output", symbol: "p", of: "Prediction", place: "", word: "map", channels: ["1"],
  patch: "one per pixel of the slice", note: "The probability of infection, where the mask is cut at the threshold.",
};

class Explorer {
  constructor() {
    this.state = {
      slice: catalogue.start, window: [...catalogue.window], blend: 0.6, range: "channel", cells: false,
      threshold: 0.5, outlines: "both", linked: true, active: 0, off: [], size: null, seesWindow: false,
      views: catalogue.views.map((view) => ({ ...view })),
    };
    this.brush = new Brush();
    this.live = new Map(); // number of a network -> LiveNetwork
    this.stored = new Map(); // key -> promise
    this.backToPhantom();
  }

  backToPhantom() {
    this.slices = catalogue.slices.map((_, i) => () => this.once(`slice-${i}`, () => storedSlice(i)));
    this.ownFile = false;
  }

  openSlices(slices) {
    this.slices = slices.map((slice) => async () => slice);
    this.ownFile = true;
  }

  once(key, make) {
    if (!this.stored.has(key)) this.stored.set(key, make());
    return this.stored.get(key);
  }

  slice() {
    return this.slices[this.state.slice]();
  }

  // What a reader may choose: every network as it is, and every live one with the reader's changes.
  sources() {
    return catalogue.networks.flatMap(({ label, live }, network) => {
      const plain = { value: `${network}`, label, usable: !this.ownFile || Boolean(live) };
      return live ? [plain, { value: `${network}*`, label: `${label}, changed`, usable: true }] : [plain];
    });
  }

  network(view) {
    return catalogue.networks[parseInt(view.source, 10)];
  }

  // Layers of the network of a view, from input to output.
  layers(view) {
    return [...this.network(view).maps, PREDICTION];
  }

  info(view) {
    const layers = this.layers(view), named = (wanted) => layers.find(({ name }) => name === wanted);
    return named(view.layer) || named(this.network(view).first);
  }

  // Is there anything that makes the changed network differ from the plain one?
  changes(slice) {
    const { off, size, seesWindow } = this.state, { preprocessing, live } = catalogue.networks[catalogue.live];
    const said = [];
    if (this.brush.of(slice).length) said.push("painted slice");
    if (off.length) said.push(`without ${off.map((id) => live.switches[id]).join(" and ")}`);
    if (size && size !== preprocessing.size) said.push(`input of ${size} pixels`);
    if (seesWindow) said.push(`window ${this.state.window.join(" / ")}`);
    return said;
  }

  // What a view's network makes of a slice: {H, W, odds, maps, ms?}.
  look(view, slice) {
    const number = parseInt(view.source, 10), changed = view.source.endsWith("*");
    if (slice.stored !== null && !changed) {
      return this.once(`look-${slice.stored}-${number}`, () => storedLook(slice.stored, number));
    }
    if (!this.live.has(number)) this.live.set(number, new LiveNetwork(number));
    const job = changed ? this.changedJob(slice, number) : this.plainJob(slice, number);
    return this.live.get(number).look(job.key, job);
  }

  plainJob({ key, data, H, W, intensity }, number) {
    const { size, window } = catalogue.networks[number].preprocessing;
    return { key, slice: { data, H, W }, intensity, window, size, off: [] };
  }

  changedJob(slice, number) {
    const { off, size, seesWindow, window } = this.state, plain = this.plainJob(slice, number);
    const strokes = this.brush.of(slice);
    const data = this.brush.painted(slice);
    const changes = { off, size: size || plain.size, window: seesWindow ? window : plain.window };
    const job = { ...plain, ...changes, slice: { data, H: slice.H, W: slice.W } };
    job.key = JSON.stringify([slice.key, strokes, off, job.size, seesWindow && window]);
    if (seesWindow && slice.intensity === "grey") {
      job.slice.data = Float32Array.from(greyOf(slice, data, window)); // a picture keeps no CT numbers: window its greys
    }
    return job;
  }

  // The slice's values as a view shows them: painted in where the reader changed them.
  values(view, slice) {
    return view.source.endsWith("*") ? this.brush.painted(slice) : slice.data;
  }

  // One channel of the layer of a view.
  channel(view, look) {
    if (view.layer === "prediction" || !look.maps[view.layer]) {
      look.probability ??= probabilityOf(look); // once for each look
      return look.probability;
    }
    const map = look.maps[view.layer];
    return channelOf(map, Math.min(view.channel, map.C - 1));
  }

  // Low and high end of the colours for one view; channels: of both views.
  limits(view, look, channel, channels) {
    switch (this.state.range) {
      case "unit": return { low: 0, high: 1 };
      case "layer": return look.maps[view.layer] ? layerExtremes(look.maps[view.layer]) : channel;
      case "views": return {
        low: Math.min(...channels.map((one) => one.low)), high: Math.max(...channels.map((one) => one.high)),
      };
      default: return channel;
    }
  }
}

// The prediction of a look as a channel like any other.
function probabilityOf({ odds, H, W }) {
  const data = new Float32Array(H * W);
  for (let p = 0; p < data.length; p++) data[p] = (odds[p] + 0.5) / 256;
  return { data, H, W, ...extremes(data) };
}
