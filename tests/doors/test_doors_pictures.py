"""Pictures and clips that are bad or odd: read rightly, or one sentence."""

import ast
import io
import struct
import warnings
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from situation import Situation, check, command, each

import rsa_faces as rf
from rsa_faces._core.files import file_names
from rsa_faces.cli import _extract, _init, _runs  # noqa: F401 (registers the commands)
from rsa_faces.stimuli import StimulusSet, load_stimuli
from rsa_faces.stimuli.images import decode, read_image, write_images

GREY = np.full((6, 8, 3), 90, np.uint8)


def picture(folder, name="a.png", pixels=GREY, **options):
    """Write a picture."""
    Image.fromarray(pixels).save(folder / name, **options)
    return folder / name


def png(width, height, depth, kind, rows):
    """Write the bytes of a PNG by hand: Pillow does not write 16 bits of colour."""

    def part(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", head)
        + part(b"IDAT", zlib.compress(rows))
        + part(b"IEND", b"")
    )


def deep(kind, channels):
    """Return a situation: a PNG of 16 bits per channel."""

    def run(folder):
        rows = (b"\0" + bytes(2 * channels * 4)) * 3
        (folder / "a.png").write_bytes(png(4, 3, 16, kind, rows))
        load_stimuli(folder)

    return run


def warned(match, run):
    """Return what runs with a warning that has to come."""

    def inside(folder):
        with pytest.warns(UserWarning, match=match):
            return run(folder)

    return inside


def quiet(run):
    """Return what runs without any warning."""

    def inside(folder):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return run(folder)

    return inside


def reads_as(name, **options):
    """Return a situation: a kind of file that is read."""

    def run(folder):
        picture(folder, name, **options)
        assert load_stimuli(folder).ids == ("a",)
        assert abs(load_stimuli(folder).image("a").astype(int) - 90).max() <= 3

    return quiet(run)


def deep_tiff(folder):
    import cv2

    assert cv2.imwrite(str(folder / "a.tif"), np.full((4, 4, 3), 40000, np.uint16))
    load_stimuli(folder)


def deep_ppm(folder):
    (folder / "a.ppm").write_bytes(b"P6\n# of a camera\n2 2\n65535\n" + bytes(24))
    load_stimuli(folder)


def two_pages(folder):
    pages = [Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (10, 200)]
    pages[0].save(folder / "a.tif", save_all=True, append_images=pages[1:])
    assert load_stimuli(folder).image("a").max() == 10


def animation(folder):
    frames = [Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (10, 200, 30)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    assert load_stimuli(folder).image("a").max() == 10


def transparent(folder):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255
    picture(folder, "a.png", pixels)
    image = load_stimuli(folder).image("a")
    assert (image[:2] == 0).all()
    assert (image[2:] == 255).all()


def turned_by_exif(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(folder, "a.jpg", exif=exif)
    assert load_stimuli(folder).image("a").shape == (8, 6, 3)


def two_pictures_in_one_jpeg(folder):
    one, two = Image.fromarray(GREY), Image.fromarray(GREY // 2)
    one.save(folder / "a.jpg", format="MPO", save_all=True, append_images=[two])
    assert load_stimuli(folder).image("a").mean() > 80


def bomb(folder):
    (folder / "a.png").write_bytes(png(60_000, 60_000, 8, 2, b""))
    load_stimuli(folder)


def half_a_bomb(folder):
    # Below what Pillow refuses by itself, twice what it warns of.
    (folder / "a.png").write_bytes(png(14_000, 12_800, 8, 2, b""))
    load_stimuli(folder)


def foreign(name, data):
    def run(folder):
        (folder / name).write_bytes(data)
        load_stimuli(folder)

    return run


def postscript(folder):
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n"
    (folder / "a.jpg").write_bytes(data)
    load_stimuli(folder)


def cut(folder):
    path = picture(
        folder, "a.png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    )
    path.write_bytes(path.read_bytes()[:900])
    load_stimuli(folder)


def renamed(folder):
    """A JPEG called PNG is a picture."""
    Image.fromarray(GREY).save(folder / "a.png", format="JPEG")
    assert load_stimuli(folder).ids == ("a",)


def left_out(folder):
    picture(folder)
    for name in ("b.psd", "c.mp4", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    assert load_stimuli(folder).ids == ("a",)


def not_in_manifest(folder):
    picture(folder)
    picture(folder, "b.png")
    (folder / "m.csv").write_text("file\na.png\n")
    assert load_stimuli(folder, manifest=folder / "m.csv").ids == ("a",)


def folder_of_clips(folder):
    (folder / "b.mp4").write_bytes(b"x")
    load_stimuli(folder)


def ids_that_are_paths(folder):
    target = folder / "deep" / "crops"
    names = ["../../x", "a/b", "a b", "a-b", "A-b", "con", "é" * 200]
    stimuli = StimulusSet.from_arrays([GREY + i for i in range(7)], names)
    written = write_images(stimuli, target)
    assert {path.parent for path in written.values()} == {target}
    assert len({path.name.casefold() for path in written.values()}) == 7
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == sorted(
        [path.name for path in written.values()] + ["images.csv"]
    )
    again = load_stimuli(target, manifest=target / "images.csv")
    assert again.ids == stimuli.ids
    for name in names:
        np.testing.assert_array_equal(again.image(name), stimuli.image(name))


def names_depend_on_those_that_collide_only(folder):
    assert file_names(["x", "y z"]) == {"x": "x", "y z": "y-z"}
    assert file_names(["y z", "x", "w"])["y z"] == "y-z"
    three = file_names(["y z", "y-z", "y/z"])
    assert three["y-z"] == "y-z"
    assert len(set(three.values())) == 3


def crops_of_a_size(size):
    def run(folder):
        picture(folder)
        command("faces", folder, "--crops", folder / "out", "--size", size, "--leave-out")

    return run


def crop(**options):
    def run(folder):
        stimuli = StimulusSet.from_arrays([GREY], ["a"])
        table = rf.detect_faces(stimuli, progress=False)
        rf.crop_faces(stimuli, table, **options)

    return run


def found_by_hash(folder):
    """Twenty thousand images are found in less time than one search of a list takes."""
    import time

    names = [f"image {i:05d}" for i in range(20_000)]
    images = np.zeros((20_000, 1, 1, 3), np.uint8)
    stimuli = StimulusSet.from_arrays(images, names)
    start = time.process_time()
    for name in names:
        stimuli.image(name)
    assert time.process_time() - start < 2


SITUATIONS = [
    Situation("a PNG of 16 bits of colour", deep(2, 3), r"8 bits per channel, but .*a\.png has 16"),
    Situation("a PNG of 16 bits of colour and alpha", deep(6, 4), r"a\.png has 16"),
    Situation("a PNG of 16 bits of grey", deep(0, 1), r"a\.png has 16"),
    Situation("a TIFF of 16 bits of colour", deep_tiff, r"a\.tif has 16|cannot be read as one"),
    Situation("a PPM of 16 bits of colour", deep_ppm, r"a\.ppm has 16"),
    Situation(
        "a TIFF of two pages", warned(r"1 of 1 images have several pages.*a\.tif \(2\)", two_pages)
    ),
    Situation("an animated GIF", warned(r"a\.gif \(3\)", animation)),
    Situation("a transparent picture", quiet(transparent)),
    Situation("a JPEG that its EXIF data turn", quiet(turned_by_exif)),
    Situation("a JPEG with a second picture of the camera", quiet(two_pictures_in_one_jpeg)),
    Situation("a JPEG called .jfif", reads_as("a.jfif", format="JPEG")),
    Situation("a JPEG called .jpe", reads_as("a.jpe", format="JPEG")),
    Situation("an ending in capital letters", reads_as("a.JPG", format="JPEG")),
    Situation("a JPEG called .png", quiet(renamed)),
    Situation(
        "a picture that would fill the memory", bomb, r"at most 178,956,970 pixels, but .*a\.png"
    ),
    Situation("a picture of 179 million pixels", half_a_bomb, r"has 179,200,000"),
    Situation("a PostScript file called .jpg", postscript, r"content is none of .*JPEG"),
    Situation(
        "a text called .png", foreign("a.png", b"no picture"), r"a\.png .*content is none of"
    ),
    Situation("an empty file", foreign("a.webp", b""), r"a\.webp cannot be read"),
    Situation("a PNG that is cut short", cut, r"a\.png cannot be read as one"),
    Situation(
        "other files beside the pictures", warned(r"left out: .*Thumbs.*b\.psd.*c\.mp4", left_out)
    ),
    Situation(
        "a picture that the manifest does not name", warned(r"left out: 'b\.png'", not_in_manifest)
    ),
    Situation(
        "a folder of clips where pictures are expected",
        folder_of_clips,
        r"found none. It holds 'b\.mp4'",
    ),
    Situation("ids that are paths, or differ in punctuation only", ids_that_are_paths),
    Situation("file names of ids", names_depend_on_those_that_collide_only),
    Situation(
        "crops of 100,000,000 pixels",
        crops_of_a_size(100_000_000),
        r"expected size to be .*, got 100,000,000",
    ),
    Situation("crops of minus one pixel", crops_of_a_size(-1), r"from 2 to 8192, got -1"),
    Situation(
        "crops of half a pixel", crop(size=0.5), r"whole number of pixels from 2 to 8192, got 0\.5"
    ),
    Situation(
        "a margin of 1e9 faces",
        crop(template="box", margin=1e9),
        r"margin above -0.5 and up to 10, got 1",
    ),
    Situation("20,000 images by their names", found_by_hash),
]


def make_heic(folder):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(GREY)).save(folder / "a.heic")
    assert load_stimuli(folder).image("a").shape == GREY.shape


if features.check("avif"):
    SITUATIONS += [
        Situation("an AVIF", reads_as("a.avif", format="AVIF")),
        Situation("a HEIC", quiet(make_heic)),
    ]


# Clips


def clip(
    path, codec="mpeg4", pix_fmt="yuv420p", levels=range(0, 250, 10), options=None, coded=None
):
    """Write a clip of grey frames at 25 frames per second."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, pix_fmt
        stream.options = coded or {}
        for k, level in enumerate(levels):
            pixels = np.full((24, 32, 4), level, np.uint8)
            pixels[..., 3] = 255
            if "a" in pix_fmt[-4:] and pix_fmt != "yuv420p":
                pixels[:12, :, 3] = 0
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copied(source, path, start, options=None):
    """Cut a clip by copying its packets: what comes before is there, and an edit list hides it."""
    av = pytest.importorskip("av")
    with av.open(str(source)) as old, av.open(str(path), "w", options=options or {}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                shift = round(start / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - shift,
                    packet.dts - shift,
                    stream,
                )
                new.mux(packet)


def reads_clip(name, codec):
    def run(folder):
        clip(folder / name, codec)
        clips = rf.load_clips(folder)
        assert clips.n_frames("a", rate=25) == 25
        assert abs(next(clips.frames("a")).mean() - 0) < 10

    return quiet(run)


def cut_by_copying(folder):
    (folder / "clips").mkdir()
    clip(folder / "whole.mp4", coded={"g": "25"})
    copied(folder / "whole.mp4", folder / "clips" / "a.mp4", Fraction(2, 5))
    clips = rf.load_clips(folder / "clips")
    assert clips.n_frames("a", rate=25) == 15
    assert abs(next(clips.frames("a")).mean() - 100) < 8


def cut_by_copying_and_truncated(folder):
    clip(folder / "whole.mp4", coded={"g": "25"})
    (folder / "clips").mkdir()
    path = folder / "clips" / "a.mp4"
    copied(folder / "whole.mp4", path, Fraction(2, 5), {"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-300])
    rf.load_clips(folder / "clips")


def clip_with_alpha(folder):
    clip(folder / "a.mov", "png", "rgba")
    frame = next(rf.load_clips(folder).frames("a"))
    assert (frame[:12] == 255).all()
    assert (frame[12:] == 0).all()


def picture_among_clips(folder):
    clip(folder / "a.mp4")
    picture(folder, "b.png")
    assert rf.load_clips(folder).ids == ("a",)


SITUATIONS += [
    Situation("a clip called .m4v", reads_clip("a.m4v", "mpeg4")),
    Situation("a clip called .3gp", reads_clip("a.3gp", "mpeg4")),
    Situation("a clip called .mpg", reads_clip("a.mpg", "mpeg2video")),
    Situation("a clip called .wmv", reads_clip("a.wmv", "wmv2")),
    Situation("a clip cut by copying its stream", quiet(cut_by_copying)),
    Situation(
        "a clip cut by copying its stream, and truncated",
        cut_by_copying_and_truncated,
        r"a\.mp4 ends after \d+ bytes and its header says",
    ),
    Situation(
        "a clip with transparent parts",
        warned("transparent parts; they are laid over white", clip_with_alpha),
    ),
    Situation("a picture among clips", warned(r"left out: 'b\.png'", picture_among_clips)),
]


@each(SITUATIONS)
def test_situation(situation, tmp_path):
    check(situation, tmp_path)


def test_pictures_and_clips_are_opened_in_one_place():
    package = Path(rf.__file__).parent
    for path in package.rglob("*.py"):
        if path.name in ("images.py", "_video.py") and path.parent.name == "stimuli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in ("Image.open", "PIL.Image.open", "av.open"), path


def test_what_is_decoded_is_what_was_encoded():
    data = io.BytesIO()
    Image.fromarray(GREY).save(data, "PNG")
    np.testing.assert_array_equal(decode(data.getvalue(), "a.png"), GREY)


def test_a_file_is_read(tmp_path):
    np.testing.assert_array_equal(read_image(picture(tmp_path)), GREY)
    with pytest.raises(rf.InputError, match="No such file"):
        read_image(tmp_path / "b.png")
