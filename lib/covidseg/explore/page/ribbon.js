// The ribbon: every layer of a network as a small picture, and the channels of one layer. Two rows of choices that
// work as radio buttons do: Tab goes in and out, the arrows choose.

class Choices {
  constructor(box, choose) {
    Object.assign(this, { box, choose, buttons: [], chosen: 0 });
    box.setAttribute("role", "radiogroup");
    box.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const ends = { Home: 0, End: this.buttons.length - 1 }[event.key];
      if (step === undefined && ends === undefined) return;
      event.preventDefault();
      const count = this.buttons.length;
      this.choose(ends ?? (this.chosen + step + count) % count);
      this.buttons[this.chosen].focus();
    });
  }

  // items: [{name, label, group}]; a button is made for each, with an empty canvas. Made anew only if they differ.
  fill(items) {
    const same = JSON.stringify(items);
    if (same === this.same) return;
    this.same = same;
    this.box.replaceChildren();
    let group = null, row = null;
    this.buttons = items.map((item, i) => {
      if (item.group !== group || !row) {
        group = item.group;
        row = document.createElement("div");
        row.className = "group";
        row.setAttribute("role", "presentation");
        this.box.append(row);
      }
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("role", "radio");
      button.setAttribute("aria-label", item.name);
      button.title = item.name;
      const picture = document.createElement("canvas"), label = document.createElement("span");
      label.textContent = item.label;
      button.append(picture, label);
      button.addEventListener("click", () => this.choose(i));
      row.append(button);
      return button;
    });
  }

  mark(index) {
    this.chosen = index;
    this.buttons.forEach((button, i) => {
      button.setAttribute("aria-checked", String(i === index));
      button.tabIndex = i === index ? 0 : -1;
    });
    const box = this.box, button = this.buttons[index]; // in sight, without moving the page itself
    if (!button) return;
    const left = button.offsetLeft - box.offsetLeft;
    if (left < box.scrollLeft || left + button.offsetWidth > box.scrollLeft + box.clientWidth) {
      box.scrollLeft = left - box.clientWidth / 2;
    }
  }

  canvas(index) {
    return this.buttons[index].firstChild;
  }
}

// The mean over the channels of a map, each brought to its own range first, so that none hides the others.
function meanOf(map) {
  const n = map.H * map.W, mean = new Float32Array(n);
  for (let c = 0; c < map.C; c++) {
    const { data, low, high } = channelOf(map, c), scale = high > low ? 1 / (high - low) / map.C : 0;
    for (let p = 0; p < n; p++) mean[p] += (data[p] - low) * scale;
  }
  return mean;
}
