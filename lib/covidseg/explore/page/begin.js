// The reader's file, the theme, and the first picture.

by("file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  tell(`Reading ${file.name} ...`);
  try {
    const slices = await readFile(file);
    explorer.openSlices(slices);
    state.slice = Math.floor(slices.length / 2);
    tell("");
    refresh();
  } catch (error) {
    tell(error.message);
  }
});
by("back").addEventListener("click", () => {
  explorer.backToPhantom();
  state.slice = catalogue.start;
  refresh();
});

const THEMES = ["system", "light", "dark"];
by("theme").addEventListener("click", () => {
  const root = document.documentElement, next = THEMES[(THEMES.indexOf(root.dataset.theme || "system") + 1) % 3];
  root.dataset.theme = next;
  by("theme").textContent = `Theme: ${next}`;
});

// ------------------------------------------------------------------------------------------------ begin

makeLab();
refresh();
// The other slices are unpacked while nobody waits, so that the wheel finds them ready.
const idle = window.requestIdleCallback || ((work) => setTimeout(work, 200));
idle(async () => {
  for (let i = 0; i < catalogue.slices.length; i++) {
    await explorer.once(`slice-${i}`, () => storedSlice(i));
    for (let n = 0; n < catalogue.networks.length; n++) await explorer.once(`look-${i}-${n}`, () => storedLook(i, n));
  }
  document.documentElement.dataset.ready = "yes";
});
Object.assign(window, { explorer, panels }); // for those who look inside with the browser's own tools
