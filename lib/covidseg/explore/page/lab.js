// What the reader changes: paint in the slice, branches switched off, another size or window of the input.

// A change is there to be seen: if no picture shows the changed network, the right one does from now on.
function changed() {
  const source = `${catalogue.live}*`;
  if (!state.views.some((view) => view.source === source)) {
    state.views[1] = { ...state.views[0], source };
  }
  refresh();
}

async function paint(row, column, begins) {
  const slice = await explorer.slice();
  explorer.brush.add(slice, { row, column, radius: brushRadius, hu: Number(by("tissue").value) }, begins);
  changed();
}

by("brush").addEventListener("click", (event) => {
  const pressed = event.target.getAttribute("aria-pressed") !== "true";
  event.target.setAttribute("aria-pressed", String(pressed));
  showControls();
  panels.forEach(({ view }) => view.canvas.style.setProperty("touch-action", pressed ? "none" : "pan-y"));
});
by("undo").addEventListener("click", async () => {
  explorer.brush.undo(await explorer.slice());
  refresh();
});
by("clear").addEventListener("click", async () => {
  explorer.brush.clear(await explorer.slice());
  refresh();
});
by("sees-window").addEventListener("change", (event) => {
  state.seesWindow = event.target.checked;
  changed();
});
by("size").addEventListener("change", (event) => {
  state.size = Number(event.target.value);
  changed();
});
by("reset").addEventListener("click", async () => {
  explorer.brush.clear(await explorer.slice());
  Object.assign(state, { off: [], size: null, seesWindow: false });
  by("sees-window").checked = false;
  by("size").value = catalogue.networks[catalogue.live].preprocessing.size;
  refresh();
});

function makeLab() {
  const network = catalogue.networks[catalogue.live];
  by("lab").hidden = !network;
  by("lab").disabled = !network;
  if (!network) return;
  by("live-name").textContent = network.label;
  const own = network.preprocessing.size, sides = [...new Set([own, 128, 192, 256, 384, 512])].sort((a, b) => a - b);
  for (const side of sides) {
    by("size").add(new Option(`${side} \u00d7 ${side}${side === own ? ", as it learned" : ""}`, side, side === own, side === own));
  }
  for (const [id, label] of Object.entries(network.live.switches)) {
    const box = document.createElement("label"), input = document.createElement("input");
    box.className = "check";
    Object.assign(input, { type: "checkbox", value: id, checked: true });
    input.addEventListener("change", () => {
      state.off = input.checked ? state.off.filter((one) => one !== id) : [...state.off, id].sort();
      changed();
    });
    box.append(input, ` ${label}`);
    document.querySelector(".switches").append(box);
  }
}
