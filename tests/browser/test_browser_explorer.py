"""The explorer's page in a real browser, opened from disk: every control, the live network, the reader's own files."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image

import covidseg
from covidseg.attention import capture
from covidseg.explore.build import page_html
from covidseg.explore.looks import PageSlice
from covidseg.explore.networks import shown_networks
from covidseg.inference import prepare
from covidseg.nn.layers import dimensions
from covidseg.phantom import phantom_slice
from covidseg.scans.read import read_scan

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

SHOWN = """() => panels.map(({view, box}) => ({
    picture: view.canvas.toDataURL(), caption: box.querySelector("figcaption").innerText,
    scale: box.querySelector(".scale").innerText, value: box.querySelector(".value").innerText}))"""
RESTS = "() => panels.every((panel) => panel.look && !panel.running)"
LOOK = """async ({data, H, W, intensity}) => {
    const slice = {key: `test-${Math.random()}`, stored: null, data: Float32Array.from(data), H, W, intensity};
    const {odds, maps} = await explorer.look({source: "0"}, slice);
    const attention = Object.entries(maps).filter(([name]) => name.startsWith("A/"));
    return {mask: Array.from(odds, (step) => Number(step >= 128)),
            maps: Object.fromEntries(attention.map(([name, map]) => [name, Array.from(map.data)]))};
}"""


def slices(count, size=128):
    """Phantom slices with lesions, in body and lung views."""
    for seed in range(count):
        phantom = phantom_slice(seed, size, view=("body", "lungs")[seed % 2])
        truth = (phantom.labels > 0).astype(np.uint8)
        yield PageSlice(f"phantom {seed}", np.rint(phantom.hu).astype(np.int16), "HU", truth)


@pytest.fixture(scope="module")
def networks():
    return [network for network in shown_networks() if dimensions(network.model) == 2]


@pytest.fixture(scope="module")
def file(networks, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    path.write_text(page_html(list(slices(2)), networks), encoding="utf-8")
    return path


@pytest.fixture
def page(browser, file):
    """The page without a net; whatever it asks for or complains about fails the test that did it."""
    context = browser.new_context(viewport={"width": 1366, "height": 768}, offline=True)
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: faults.append(request.url) if asks_the_net(request.url, file) else None)
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    page.wait_for_function(RESTS)
    yield page
    context.close()
    assert faults == []


def asks_the_net(address, file):
    return not address.startswith(("data:", "blob:")) and address != file.as_uri()


def change(page, act, *, which=(0, 1), what="picture"):
    """Do something; what is shown of the pictures ``which`` must differ afterwards. Returns all that is shown."""
    before = page.evaluate(SHOWN)
    act()
    index = json.dumps([list(which), what])
    page.wait_for_function(
        f"(before) => {{ const [which, what] = {index}; const now = ({SHOWN})();"
        " return panels.every((panel) => !panel.running) && which.every((i) => now[i][what] !== before[i][what]); }",
        arg=before,
    )
    return page.evaluate(SHOWN)


def press(page, selector, key):
    return lambda: page.locator(selector).press(key)


def slide(page, slider):
    """To its other end."""
    end = "End" if page.input_value(slider) == page.get_attribute(slider, "min") else "Home"
    return press(page, slider, end)


def choose(page, selector, value):
    return lambda: page.locator(selector).select_option(value)


# ------------------------------------------------------------------------------------------------ every control


def test_each_slider_of_both_pictures_changes_them(page):
    for slider in ("slice", "level", "width", "blend"):
        change(page, slide(page, f"#{slider}"), what="caption" if slider == "slice" else "picture")
    told = change(page, slide(page, "#threshold"), what="caption")
    assert all("Marked at 0.05" in shown["caption"] for shown in told)


def test_each_choice_and_each_tick_changes_the_pictures(page):
    for value in ("layer", "unit", "channel", "views", "channel"):
        change(page, choose(page, "#range", value), which=[0], what="scale")
    for value in ("prediction", "truth", "outcome", "none", "both"):
        change(page, choose(page, "#outlines", value))
    change(page, page.locator("#cells").check, which=[0])
    for button in page.locator("[data-window]").all()[1:]:
        change(page, button.click)


def test_layers_and_channels_are_chosen_by_list_by_ribbon_and_by_keys(page):
    change(page, choose(page, "#view-0 [data-of=layer]", "E_1"), which=[0], what="caption")
    change(page, page.locator("#layers [aria-label^='D']").first.click, which=[0], what="caption")
    told = change(page, press(page, "#channels [aria-checked=true]", "ArrowRight"), which=[0], what="caption")
    assert "channel 2" in told[0]["caption"]
    page.locator("#view-1 canvas").first.focus()  # the ribbon follows the chosen picture
    change(page, press(page, "#layers [aria-checked=true]", "Home"), which=[1], what="caption")


def test_pictures_move_together_until_they_are_parted(page):
    change(page, page.locator("#nearer").click)
    change(page, page.locator("#farther").click)
    change(page, press(page, "#view-0 canvas >> nth=0", "+"))
    page.locator("#linked").uncheck()
    before = page.evaluate(SHOWN)
    after = change(page, page.locator("#whole").click, which=[0])
    assert after[1]["picture"] == before[1]["picture"]


def test_the_cross_tells_the_value_below_it_by_mouse_and_by_keys(page):
    box = page.locator("#view-1 canvas").first.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    told = change(page, lambda: page.mouse.move(*middle), what="value")
    told = [shown["value"] for shown in told]
    assert all("HU" in value and "truth" in value for value in told) and told[0] != told[1]
    change(page, press(page, "#view-0 canvas >> nth=0", "Shift+ArrowDown"), what="value")


def test_the_wheel_and_page_keys_walk_through_the_slices(page):
    page.locator("#view-0 canvas").first.hover()
    up = page.input_value("#slice") == "0"
    change(page, lambda: page.mouse.wheel(0, 120 if up else -120), what="caption")
    change(page, press(page, "#view-0 canvas >> nth=0", "PageDown" if up else "PageUp"), what="caption")


def test_the_picture_is_saved_with_its_caption(page, tmp_path):
    title = page.evaluate("panels[0].words[0]")
    with page.expect_download() as svg:
        page.locator("#svg").click()
    text = svg.value.path().read_text(encoding="utf-8")
    assert title.split(" — ")[0] in text and "data:image/png" in text and text.count("<path") == 4
    with page.expect_download() as png:
        page.locator("#png").click()
    assert Image.open(png.value.path()).width == 1024


# ------------------------------------------------------------------------------------------------ the live network


def as_torch_sees(network, one):
    x = prepare(one.image.astype(np.float32)[None], network.preprocessing, one.intensity)
    mask = covidseg.predict(network.model, one.image.astype(np.float32), network.preprocessing, one.intensity)
    return mask, capture(network.model, x, "A/*")


def test_ten_slices_have_torchs_mask_to_the_pixel_and_its_attention_to_four_digits(page, networks):
    marked = 0
    for number, one in enumerate(slices(10, 160)):
        image = one.image if number % 3 else one.image[:, 10:-21]  # not all are square
        one = PageSlice(one.label, image)
        if number % 4 == 3:
            one = PageSlice(one.label, np.clip((image + 1100) / 1400 * 255, 0, 255).round(), "grey")
        H, W = one.image.shape
        job = {"data": one.image.ravel().tolist(), "H": H, "W": W, "intensity": one.intensity}
        answer = page.evaluate(LOOK, job)
        mask, maps = as_torch_sees(networks[0], one)
        assert np.array_equal(np.reshape(answer["mask"], (H, W)), mask)
        assert answer["maps"].keys() == maps.keys() and len(maps) > 10
        for name, values in maps.items():
            assert np.abs(np.ravel(values) - answer["maps"][name]).max() < 1e-4, name
        marked += mask.sum()
    assert marked > 1000


def test_a_stored_look_is_the_live_one(page):
    same = page.evaluate("""async () => {
        const stored = await explorer.slice(), live = {...stored, key: "again", stored: null};
        const [a, b] = await Promise.all([stored, live].map((slice) => explorer.look({source: "0"}, slice)));
        return a.odds.every((step, p) => (step >= 128) === (b.odds[p] >= 128)) && a.odds.some((step) => step >= 128);
    }""")
    assert same


def test_each_change_is_shown_beside_what_was(page):
    change(page, page.locator(".switches input").nth(3).uncheck, which=[1], what="caption")
    told = change(page, choose(page, "#size", "192"), which=[1], what="caption")[1]["caption"]
    assert "without k = 4" in told and "input of 192 pixels" in told and "pixels of the mask differ" in told
    page.locator("#level").fill("-600")
    change(page, page.locator("#sees-window").check, which=[1], what="caption")
    assert "ms at 192" in page.locator("#pass").inner_text()
    assert "changed nothing" in change(page, page.locator("#reset").click, which=[1], what="caption")[1]["caption"]


def test_what_is_painted_out_is_no_longer_found_and_comes_back(page):
    marked = "() => panels[1].mask.reduce((a, b) => a + b, 0)"
    page.locator("#brush").click()
    page.locator("#radius").fill("40")
    page.evaluate("""() => { const {mask, look, view} = panels[0], p = mask.indexOf(1);
        view.cross = {row: Math.floor(p / look.W) + 8, column: p % look.W}; }""")
    change(page, press(page, "#view-0 canvas >> nth=0", " "), which=[1], what="caption")
    erased = page.evaluate(marked)
    change(page, page.locator("#undo").click, which=[1], what="caption")
    assert erased < page.evaluate(marked)


# ------------------------------------------------------------------------------------------------ the reader's files

SLICES = "async () => Promise.all(explorer.slices.map(async (get) => { const s = await get(); "
SLICES += "return {data: Array.from(s.data), H: s.H, W: s.W, intensity: s.intensity}; }))"


@pytest.mark.parametrize("codes, gzipped", [("LPS", True), ("RAS", False), ("SAL", True)])
def test_a_nifti_lies_as_the_kit_reads_it(page, tmp_path, codes, gzipped):
    volume = np.random.default_rng(0).integers(-1000, 400, (9, 14, 5)).astype(np.int16)
    affine = nibabel.orientations.inv_ornt_aff(
        nibabel.orientations.axcodes2ornt(nibabel.orientations.aff2axcodes(np.eye(4))), volume.shape
    )
    turned = nibabel.Nifti1Image(volume, affine @ np.diag([1.5, 1.2, 5, 1])).as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
        )
    )
    path = tmp_path / ("scan.nii.gz" if gzipped else "scan.nii")
    nibabel.save(turned, path)
    page.locator("#file").set_input_files(path)
    page.wait_for_function("() => explorer.ownFile")
    read, shown = read_scan(path), page.evaluate(SLICES)
    assert {one["intensity"] for one in shown} == {read.intensity} == {"HU"}
    seen = np.stack([np.reshape(one["data"], (one["H"], one["W"])) for one in shown], 2)
    assert np.array_equal(seen, read.voxels)


def test_a_picture_is_grey_levels_and_the_live_network_answers_to_it(page, tmp_path):
    phantom = next(slices(1, 96))
    grey = np.clip((phantom.image + 1100) / 1400 * 255, 0, 255).round().astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "mine.png")
    told = change(page, lambda: page.locator("#file").set_input_files(tmp_path / "mine.png"), what="caption")
    assert "Truth" not in told[1]["caption"] and "ms at" in page.locator("#pass").inner_text()
    assert np.array_equal(page.evaluate(SLICES)[0]["data"], grey.ravel())
    change(page, page.locator("#back").click, what="caption")


@pytest.mark.parametrize("name, content", [("scan.nii", b"no scan" * 100), ("note.png", b"no picture")])
def test_a_file_that_is_none_is_refused_in_one_line(page, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    page.locator("#file").set_input_files(tmp_path / name)
    page.wait_for_function("() => document.getElementById('message').innerText.includes('NIfTI')")
    assert page.locator("#message").inner_text().startswith(name)


# ------------------------------------------------------------------------------------------------ for everybody


def test_every_control_has_a_name_and_the_narrow_page_does_not_scroll_sideways(page):
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, input, select, canvas[tabindex]")].filter(
        (e) => !(e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim() || e.textContent.trim())
    ).map((e) => e.outerHTML)""")
    assert nameless == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_theme_follows_its_switch(page):
    colours = set()
    for _ in range(2):
        page.locator("#theme").click()
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2
