"""Downloads that break off, servers that misbehave, archives that lie."""

import http.server
import io
import json
import os
import stat
import tarfile
import threading
import zipfile
from hashlib import sha256
from types import SimpleNamespace

import pytest

from covidseg.cli import main
from covidseg.errors import UnknownName, UserError
from covidseg.fetch import archive, catalog, download
from covidseg.fetch import sources as fetch
from covidseg.fetch.archive import safe_extract
from covidseg.fetch.catalog import RemoteFile, Source, source, sources

BODY = bytes(range(256)) * 400  # 102,400 bytes
DIGEST = sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY: /whole with ranges, /norange without, /cut breaks off, /html, /wrong, /missing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        kind = self.path.strip("/").split("/")[0].split("?")[0]
        asked = self.headers.get("Range")
        server.requests.append((self.path, asked))
        if kind == "missing":
            return self._send(404, b"gone", "text/plain")
        if kind == "html":
            return self._send(200, b"<!doctype html><p>Log in", "text/html; charset=utf-8")
        body = BODY[:-1] + b"!" if kind == "wrong" else server.body
        etag = f'"{sha256(body).hexdigest()[:8]}"'
        start = 0
        if asked and kind != "norange" and self.headers.get("If-Range", etag) == etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            return self._send(416, b"", "text/plain")
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        part = body[start:]
        if kind in ("cut", "norange") and server.cuts > 0:
            server.cuts -= 1
            self.wfile.write(part[: len(part) // 2])
            self.wfile.flush()
            self.close_connection = True
            return None
        self.wfile.write(part)
        return None

    def _send(self, code, body, kind):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "CHUNK", 4096)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.requests, httpd.body, httpd.cuts = [], BODY, 0
    httpd.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def closed_port():
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as gone:
        return f"http://127.0.0.1:{gone.server_address[1]}/whole"


def right(part):
    fetch.verify(part, RemoteFile("f", (), sha256=DIGEST))


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# -------------------------------------------------------------------------------------------------------- downloading


def test_a_connection_that_breaks_is_resumed_at_the_byte_where_it_broke(server, tmp_path):
    server.cuts = 2
    download.download([f"{server.url}/cut"], tmp_path / "f", check=right)
    assert (tmp_path / "f").read_bytes() == BODY
    assert [r for _, r in server.requests] == [None, "bytes=51200-", "bytes=76800-"]
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_an_interrupted_run_is_resumed_by_the_next_one(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.cuts = 1
    with pytest.raises(UserError, match="broke off after 51,200 bytes.*goes on from there") as error:
        download.download([f"{server.url}/cut"], tmp_path / "f", check=right)
    one_line(error)
    assert not (tmp_path / "f").exists() and (tmp_path / "f.part").stat().st_size == 51200
    download.download([f"{server.url}/cut"], tmp_path / "f", check=right)
    assert (tmp_path / "f").read_bytes() == BODY and server.requests[-1][1] == "bytes=51200-"


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.cuts = 1
    download.download([f"{server.url}/norange"], tmp_path / "f", check=right)
    assert (tmp_path / "f").read_bytes() == BODY
    assert [r for _, r in server.requests] == [None, "bytes=51200-"]


def test_a_file_that_changed_between_two_runs_is_not_glued_to_its_old_half(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.cuts, server.body = 1, b"old" * 40000
    with pytest.raises(UserError):
        download.download([f"{server.url}/cut"], tmp_path / "f")
    server.body = BODY
    download.download([f"{server.url}/cut"], tmp_path / "f", check=right)
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_damaged_part_is_thrown_away_and_the_file_fetched_whole_once_more(server, tmp_path):
    (tmp_path / "f.part").write_bytes(b"?" * 1000)
    note = {"address": f"{server.url}/whole", "etag": ""}
    (tmp_path / "f.part.json").write_text(json.dumps(note))
    download.download([f"{server.url}/whole"], tmp_path / "f", check=right)
    assert (tmp_path / "f").read_bytes() == BODY
    assert [r for _, r in server.requests] == ["bytes=1000-", None]


def test_a_part_that_was_whole_already_is_only_checked(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY)
    (tmp_path / "f.part.json").write_text(json.dumps({"address": f"{server.url}/whole", "etag": ""}))
    download.download([f"{server.url}/whole"], tmp_path / "f", check=right)
    assert (tmp_path / "f").read_bytes() == BODY


def test_addresses_are_tried_in_turn_and_the_error_says_what_each_answered(server, tmp_path):
    bad = [f"{server.url}/missing", f"{server.url}/html", closed_port()]
    assert download.download([*bad, f"{server.url}/whole"], tmp_path / "f", check=right) == f"{server.url}/whole"
    with pytest.raises(UserError) as error:
        download.download(bad, tmp_path / "g", way_out="Get it by hand.")
    line = one_line(error)
    assert "404" in line and "a web page, not the file" in line and "offline" in line and "by hand" in line
    assert not list(tmp_path.glob("g*"))


def test_a_wrong_checksum_names_both_values_and_leaves_nothing_behind(server, tmp_path):
    with pytest.raises(UserError, match=f"expected {DIGEST}, found ") as error:
        download.download([f"{server.url}/wrong"], tmp_path / "f", check=right)
    assert "thrown away" in one_line(error)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_with_a_way_out(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: SimpleNamespace(free=50_000))
    with pytest.raises(UserError, match="is full.*COVIDSEG_DATA") as error:
        download.download([f"{server.url}/whole"], tmp_path / "f")
    one_line(error)


# ------------------------------------------------------------------------------------------ catalogue, mirror, record


@pytest.fixture
def tiny(server, tmp_path, monkeypatch):
    """A catalogue of one source, "tiny", served locally; data and mirror under tmp_path."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as z:
        z.writestr("top/inner/a.txt", "A")
        z.writestr("top/other.txt", "B")
    server.body = zipped.getvalue()
    files = (RemoteFile("set.zip", (f"{server.url}/whole",), unpack="inner", only="top/inner"),)
    entry = Source("tiny", "Tiny set", "dataset", "tiny", "CC BY 4.0", "Someone 2020", "http://page", "layout", files)
    monkeypatch.setattr(catalog, "sources", lambda: {"tiny": entry})
    monkeypatch.setenv("COVIDSEG_DATA", str(tmp_path / "home"))
    monkeypatch.delenv("COVIDSEG_MIRROR", raising=False)
    return tmp_path


def test_fetch_prints_the_licence_unpacks_and_records_what_it_got(server, tiny):
    lines = []
    root = fetch.fetch("tiny", echo=lines.append)
    assert (root / "inner/a.txt").read_text() == "A" and not (root / "inner/other.txt").exists()
    record = json.loads((root / "record.json").read_text())["set.zip"]
    assert record["sha256"] == sha256(server.body).hexdigest() and record["size"] == len(server.body)
    assert "Licence: CC BY 4.0" in lines[0] and "Cite: Someone 2020" in lines[0]
    asked = len(server.requests)
    fetch.fetch("tiny")
    assert len(server.requests) == asked  # nothing is downloaded twice


def test_a_later_download_is_compared_with_the_first(server, tiny):
    root = fetch.fetch("tiny")
    (root / "set.zip").unlink()
    server.body = server.body + b" "
    with pytest.raises(UserError, match="recorded on .*expected .*, found "):
        fetch.fetch_file("tiny", "set.zip")


def test_a_mirror_is_used_in_place_and_copied_only_on_request(server, tiny, monkeypatch):
    (tiny / "mirror/tiny/inner").mkdir(parents=True)
    (tiny / "mirror/tiny/inner/a.txt").write_text("mirrored")
    assert fetch.fetch("tiny", tiny / "mirror") == (tiny / "mirror/tiny").resolve()
    monkeypatch.setenv("COVIDSEG_MIRROR", str(tiny / "mirror"))
    assert fetch.fetch("tiny") == (tiny / "mirror/tiny").resolve()
    copied = fetch.fetch("tiny", copy=True)
    assert copied == (tiny / "home/raw/tiny").resolve() and (copied / "inner/a.txt").read_text() == "mirrored"
    assert not server.requests


def test_an_archive_in_the_mirror_is_unpacked_into_the_data_folder(server, tiny):
    (tiny / "mirror/tiny").mkdir(parents=True)
    (tiny / "mirror/tiny/set.zip").write_bytes(server.body)
    root = fetch.fetch("tiny", tiny / "mirror")
    assert root == (tiny / "home/raw/tiny").resolve() and (root / "inner/a.txt").read_text() == "A"
    assert not server.requests


def test_a_mirror_that_does_not_exist_is_named(tiny, monkeypatch):
    with pytest.raises(UserError, match="--mirror names /no/where"):
        fetch.fetch("tiny", "/no/where")
    monkeypatch.setenv("COVIDSEG_MIRROR", "/no/where")
    with pytest.raises(UserError, match="COVIDSEG_MIRROR names /no/where"):
        fetch.fetch_file("tiny", "set.zip")


def test_a_mirror_without_the_set_says_so(tiny):
    (tiny / "mirror/tiny").mkdir(parents=True)
    with pytest.raises(UserError, match="holds nothing of tiny"):
        fetch.fetch("tiny", tiny / "mirror")


def test_offline_the_line_names_the_page_and_the_place_for_the_file(server, tiny, monkeypatch):
    entry = catalog.source("tiny")
    gone = (RemoteFile("set.zip", (closed_port(),)),)
    monkeypatch.setattr(catalog, "sources", lambda: {"tiny": Source(**{**vars(entry), "files": gone})})
    with pytest.raises(UserError, match=r"not reachable.*http://page.*COVIDSEG_MIRROR") as error:
        fetch.fetch_file("tiny", "set.zip")
    assert str(tiny / "home/raw/tiny/set.zip") in one_line(error)
    assert not [p for p in (tiny / "home").rglob("*") if p.is_file()]  # no lock, no part


def test_a_manual_source_explains_the_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("COVIDSEG_DATA", str(tmp_path))
    monkeypatch.delenv("COVIDSEG_MIRROR", raising=False)
    with pytest.raises(UserError, match="cannot be fetched by a program.*mosmed"):
        fetch.fetch("p1110")


def test_every_catalogue_entry_is_complete():
    assert set(sources()) >= {"ct100", "p9", "p20", "p1110", "semiseg", "miniseg-weights", "miniseg-datasets"}
    for entry in sources().values():
        assert entry.licence and entry.citation and entry.home.startswith("https://") and entry.layout
        assert entry.files or entry.manual
        for file in entry.files:
            assert file.addresses and all(a.startswith("https://") and "{" not in a for a in file.addresses)
            assert file.sha256 is None or len(file.sha256) == 64
    weights = source("miniseg-weights").files
    assert len(weights) == 20 and {f.size for f in weights} == {431150} and len({f.sha256 for f in weights}) == 20


def test_unknown_sources_and_files_are_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'miniseg-weights'"):
        source("miniseg-weigths")
    with pytest.raises(UnknownName, match="Did you mean 'tr_im.nii.gz'"):
        source("ct100").file("tr_img.nii.gz")


@pytest.mark.mirror
def test_the_mirrors_weights_have_the_catalogues_checksums(mirror):
    from covidseg.fetch.sources import fetch_file

    for name in ("CT100", "P9", "P1110"):
        path = fetch_file("miniseg-weights", f"Pretrained/COVID-19-{name}/MiniSeg_CrossVal5.pth", mirror)
        assert path.is_relative_to(mirror)


# ----------------------------------------------------------------------------------------------------------- archives


def make_zip(path, members):
    with zipfile.ZipFile(path, "w") as z:
        for name, content in members:
            z.writestr(name, content)
    return path


def make_tar(path, *infos):
    with tarfile.open(path, "w:gz") as t:
        for info, content in infos:
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "..\\evil", "a/../../../evil"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_outside_the_target_is_refused_before_anything_is_written(tmp_path, name, kind):
    if kind == "zip":
        path = make_zip(tmp_path / "a.zip", [("good", "x"), (name, "x")])
    else:
        path = make_tar(tmp_path / "a.tgz", (tarfile.TarInfo("good"), b"x"), (tarfile.TarInfo(name), b"x"))
    with pytest.raises(UserError, match="outside the target: refused, nothing was written") as error:
        safe_extract(path, tmp_path / "sub" / "out")
    one_line(error)
    assert not (tmp_path / "sub").exists() and not (tmp_path / "evil").exists()


def test_links_and_devices_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for path in (
        make_zip(tmp_path / "a.zip", [(link, "/etc/passwd")]),
        make_tar(tmp_path / "b.tgz", (_tar_info("link", tarfile.SYMTYPE), b"")),
        make_tar(tmp_path / "c.tgz", (_tar_info("hard", tarfile.LNKTYPE), b"")),
        make_tar(tmp_path / "d.tgz", (_tar_info("pipe", tarfile.FIFOTYPE), b"")),
    ):
        with pytest.raises(UserError, match="a (link|device): refused"):
            safe_extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _tar_info(name, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def test_bombs_are_refused_by_size_by_ratio_and_by_number(tmp_path, monkeypatch):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("zeros", bytes(3_000_000))
    with pytest.raises(UserError, match="3,000,000 bytes: refused as a bomb"):
        safe_extract(path, tmp_path / "out", max_bytes=1_000_000)
    monkeypatch.setattr(archive, "BOMB_FLOOR", 1_000_000)
    with pytest.raises(UserError, match="refused as a bomb"):
        safe_extract(path, tmp_path / "out")
    monkeypatch.setattr(archive, "MAX_MEMBERS", 1)
    with pytest.raises(UserError, match="2 members"):
        safe_extract(make_zip(tmp_path / "many.zip", [("a", "x"), ("b", "x")]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_mask_may_pack_a_thousandfold_and_a_set_may_be_large(tmp_path, monkeypatch):
    masks = tmp_path / "masks.zip"
    with zipfile.ZipFile(masks, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("empty", bytes(3_000_000))
    assert masks.stat().st_size * 2 * archive.MAX_RATIO < 3_000_000, "more than twice the ratio of a bomb"
    assert [p.stat().st_size for p in safe_extract(masks, tmp_path / "a")] == [3_000_000]
    monkeypatch.setattr(archive, "BOMB_FLOOR", 1000)
    scans = make_zip(tmp_path / "scans.zip", [("scan", bytes(range(256)) * 8)])
    assert [p.stat().st_size for p in safe_extract(scans, tmp_path / "b")] == [2048]


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 cut off"])
def test_what_is_no_archive_is_one_line(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip") as error:
        safe_extract(tmp_path / "a.zip", tmp_path / "out")
    one_line(error)


def test_a_member_with_a_wrong_checksum_leaves_nothing_behind(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("first", "fine"), ("second", "spoilt")])
    path.write_bytes(path.read_bytes().replace(b"spoilt", b"SPOILT"))
    with pytest.raises(UserError, match="damaged"):
        safe_extract(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_a_folder_named_like_the_target_is_not_nested_and_litter_is_left_out(tmp_path):
    path = make_zip(
        tmp_path / "a.zip", [("rp_im/1.nii", "1"), ("__MACOSX/rp_im/._1.nii", "x"), ("rp_im/.DS_Store", "x")]
    )
    assert safe_extract(path, tmp_path / "rp_im") == [tmp_path / "rp_im/1.nii"]
    more = make_zip(tmp_path / "b.zip", [("rp_im/2.nii", "2"), ("rp_im/1.nii", "new")])
    safe_extract(more, tmp_path / "rp_im")  # into a folder that exists
    assert sorted(p.name for p in (tmp_path / "rp_im").iterdir()) == ["1.nii", "2.nii"]
    assert (tmp_path / "rp_im/1.nii").read_text() == "new"


# -------------------------------------------------------------------------------------------------------- command line


def test_the_command_line_prints_one_line_and_exits_with_1(tiny, capsys, monkeypatch):
    assert main(["data", "fetch", "tinny"]) == 1
    out = capsys.readouterr()
    assert out.err == "covidseg: No data source is called 'tinny'. Did you mean 'tiny'? Known: tiny.\n"
    assert main(["data", "fetch", "tiny"]) == 0
    assert "Licence: CC BY 4.0" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_folder_that_may_not_be_written_is_one_line(tiny, monkeypatch):
    (tiny / "locked").mkdir(mode=0o500)
    monkeypatch.setenv("COVIDSEG_DATA", str(tiny / "locked"))
    with pytest.raises(UserError, match="COVIDSEG_DATA"):
        fetch.fetch_file("tiny", "set.zip")
