"""Build rsa_faces/datasets/images92.h5 and images92.txt from their published archive.

    pip download --no-deps --no-binary rsatoolbox rsatoolbox==0.0.4
    python scripts/build_images92.py rsatoolbox-0.0.4.tar.gz

The archive's hash and that of each file used are checked; images and numbers are kept as they
are (lossless); running it again writes the same bytes (with the same HDF5 and zlib).
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from rsa_faces._core.files import atomic_path, sha256_file, write_text
from rsa_faces.datasets.images92 import PATH
from rsa_faces.rdm import RDMs, concat
from rsa_faces.rdm._io import write_group

ARCHIVE_SHA256 = "84153fa4c686c95f3e83f2cb668b97b82b53dc2a565856db80aa5f8c96d09359"
FOLDER = "rsatoolbox-0.0.4/demos/92imageData/"
MEMBERS = {
    "Kriegeskorte_Neuron2008_supplementalData.mat": (
        "06f21214399a5d43dc264eed19a7f4b8daf11c8622a59eec3e106064ce5e3504"
    ),
    "92_brainRDMs.mat": "1743f90a15e895798a94318649e80e1123a7e5943a1703fa1dd7c31ea5780b7c",
    "92_behavRDMs.mat": "7a8e118c144c3840adeeeef6ea0706a0be2b3e80df719af15fbb56fc62562f5f",
    "92_modelRDMs.mat": "e1d2b58bb2f9508bc13da4c81b94d1ab07823b25ed30b9563bd9d6d730c2a00a",
}
TITLE = "The 92-image set: photographs, human IT, monkey IT, similarity judgements, model RDMs"
ORIGIN = "rsatoolbox 0.0.4, source archive of the Python package, folder demos/92imageData"
LICENCE = "MIT, Copyright (c) 2019 rsatoolbox authors"
CITATIONS = [
    "Kriegeskorte N., Mur M., Ruff D. A., Kiani R., Bodurka J., Esteky H., Tanaka K., Bandettini "
    "P. A. (2008). Matching categorical object representations in inferior temporal cortex of man "
    "and monkey. Neuron 60, 1126-1141. doi:10.1016/j.neuron.2008.10.043 "
    "(images, human IT, monkey IT)",
    "Mur M., Meys M., Bodurka J., Goebel R., Bandettini P. A., Kriegeskorte N. (2013). Human "
    "object-similarity judgments reflect and transcend the primate-IT object representation. "
    "Frontiers in Psychology 4:128. doi:10.3389/fpsyg.2013.00128 (behaviour)",
    "Kiani R., Esteky H., Mirpour K., Tanaka K. (2007). Object category structure in response "
    "patterns of neuronal population in monkey inferior temporal cortex. Journal of "
    "Neurophysiology 97, 4296-4309. doi:10.1152/jn.00024.2007 (monkey IT recordings)",
    "Kriegeskorte N., Mur M., Bandettini P. (2008). Representational similarity analysis: "
    "connecting the branches of systems neuroscience. Frontiers in Systems Neuroscience 2:4. "
    "doi:10.3389/neuro.06.004.2008 (model RDMs)",
    "Nili H., Wingfield C., Walther A., Su L., Marslen-Wilson W., Kriegeskorte N. (2014). A "
    "toolbox for representational similarity analysis. PLoS Computational Biology 10, e1003553. "
    "doi:10.1371/journal.pcbi.1003553 (the collection)",
]
NOTES = [
    "The model 'monkeyIT' is the RDM of region 'monkey IT', the same numbers.",
    "The model 'EVA' is not described in the archive; single precision like the human IT RDMs, "
    "it is probably fMRI of early visual areas of the same subjects, and then shares noise with "
    "human IT.",
    "The archive's files rdm92_V1model.mat and rdm92_HMAXnatImPatch.mat are the same bytes (each "
    "holds both variables); neither is used. The model 'V1' equals their variable rdm92_V1model; "
    "the model 'HMAX' is not their variable rdm92_HMAXnatImPatch (Pearson 0.31).",
    "Monkey IT is one RDM of the pooled neurons of two monkeys: it has no noise ceiling.",
    "The flag 'animal' means animate, as in the source: it includes the human images.",
]
MODEL_NOTES = {
    "animacy": "animate or inanimate",
    "FaceBodyManmadeNatobj": "face, body, man-made or natural object",
    "monkeyIT": "the same numbers as region 'monkey IT'",
    "EVA": "probably human early visual areas (fMRI); not described in the archive",
    "HMAX": "HMAX features",
    "V1": "V1 model",
    "Silhouette": "1 - Pearson between silhouettes (pixels that are not background)",
    "RADON": "Radon transform of the image",
}
FLAGS = ["human", "face", "animal", "natural"]


def read_archive(path: Path) -> dict[str, dict]:
    """Return the MATLAB files of the archive, after checking every hash."""
    found = sha256_file(path)
    if found != ARCHIVE_SHA256:
        raise SystemExit(f"expected {path} with SHA-256 {ARCHIVE_SHA256}, got {found}.")
    files = {}
    with tarfile.open(path) as archive:
        for name, expected in MEMBERS.items():
            data = archive.extractfile(FOLDER + name).read()
            if (found := hashlib.sha256(data).hexdigest()) != expected:
                raise SystemExit(f"expected {name} with SHA-256 {expected}, got {found}.")
            files[name] = scipy.io.loadmat(io.BytesIO(data))
    return files


def brain_and_behaviour(files: dict[str, dict], ids: list[str]) -> RDMs:
    """Return human IT, monkey IT and behaviour, in this order."""
    human = files["92_brainRDMs.mat"]["RDMs"][0]
    parts = []
    for cell in human.ravel():
        _, subject, session = str(cell["name"][0]).split(" | ")
        labels = {
            "region": "human IT",
            "subject": subject,
            "session": int(session.removeprefix("Session: ")),
        }
        parts.append(RDMs.from_matrices(cell["RDM"], ids, "correlation", labels))
    published = files["Kriegeskorte_Neuron2008_supplementalData.mat"]["RDMs_mIT_hIT_fig1"][0]
    vectors = {str(entry["name"][0]): entry["RDM"] for entry in published}
    labels = {"region": "monkey IT", "subject": "two monkeys", "session": 1}
    parts.append(RDMs(vectors["mIT_674neurons"], ids, "correlation", labels))
    for i, entry in enumerate(files["92_behavRDMs.mat"]["rdms_behav_92"][0], start=1):
        if str(entry["name"][0]) != f"simJudge | subject{i}":
            raise SystemExit(f"expected subject {i} of behaviour, got {entry['name'][0]}.")
        labels = {"region": "behaviour", "subject": f"subject{i:02d}", "session": 1}
        parts.append(RDMs.from_matrices(entry["RDM"], ids, "multi-arrangement", labels))
    rdms = concat(parts)
    # The order of pairs: the figure's human IT must be the mean over subjects and sessions.
    mean = rdms.sel(region="human IT").mean().vectors[0]
    np.testing.assert_allclose(mean, vectors["hITvisStim_316vx"].ravel(), atol=1e-6)
    return rdms


def models(files: dict[str, dict], ids: list[str]) -> RDMs:
    """Return the model RDMs."""
    entries = files["92_modelRDMs.mat"]["Models"][0]
    names = [str(entry["name"][0]) for entry in entries]
    return RDMs.from_matrices(
        np.stack([entry["RDM"].astype(np.float64) for entry in entries]),
        ids,
        "model",
        {"name": names, "note": [MODEL_NOTES[name] for name in names]},
    )


def write(files: dict[str, dict], path: Path) -> None:
    """Write everything into one HDF5 file."""
    source = files["Kriegeskorte_Neuron2008_supplementalData.mat"]
    stimuli = source["stimuli_92objs"][0]
    ids = [f"image_{i:02d}" for i in range(1, len(stimuli) + 1)]
    labels = [str(cell[0]) for cell in source["categoryLabels"].ravel()]
    metadata = {"category": [str(s["category"][0]) for s in stimuli]}
    metadata |= {flag: np.array([s[flag].item() == 1 for s in stimuli]) for flag in FLAGS}
    metadata["monkey_or_ape"] = source["categoryVectors"][:, labels.index("monkeyape")] == 1
    text = h5py.string_dtype("utf-8")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["title"] = TITLE
        file.attrs["origin"] = ORIGIN
        file.attrs["archive_sha256"] = ARCHIVE_SHA256
        file.attrs["members_sha256"] = [f"{digest}  {name}" for name, digest in MEMBERS.items()]
        file.attrs["licence"] = LICENCE
        file.attrs["citations"] = CITATIONS
        file.attrs["notes"] = NOTES
        file.create_dataset("ids", data=ids, dtype=text)
        images = np.stack([s["image"] for s in stimuli])
        file.create_dataset(
            "images",
            data=images,
            chunks=(1, *images.shape[1:]),
            compression="gzip",
            compression_opts=9,
        )
        table = file.create_group("metadata")
        table.attrs["columns"] = list(metadata)
        for name, column in metadata.items():
            table.create_dataset(name, data=column, dtype=text if name == "category" else bool)
        write_group(brain_and_behaviour(files, ids), file.create_group("rdms"))
        write_group(models(files, ids), file.create_group("models"))


def describe(archive: Path) -> str:
    """Return the text that lies beside the data, with the archive's licence in full."""
    with tarfile.open(archive) as tar:
        licence = tar.extractfile("rsatoolbox-0.0.4/LICENSE").read().decode()
    lines = [
        TITLE,
        "",
        f"File      images92.h5, SHA-256 {sha256_file(PATH)}",
        f"Origin    {ORIGIN}",
        f"Archive   rsatoolbox-0.0.4.tar.gz, SHA-256 {ARCHIVE_SHA256}",
        *(f"          {digest}  {name}" for name, digest in MEMBERS.items()),
        "Built by  scripts/build_images92.py",
        "",
        "Cite",
        *(f"- {citation}" for citation in CITATIONS),
        "",
        "Notes",
        *(f"- {note}" for note in NOTES),
        "",
        "Licence of the origin",
        licence,
    ]
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    archive = Path(sys.argv[1])
    write(read_archive(archive), PATH)
    write_text(PATH.with_suffix(".txt"), describe(archive))
    print(f"{PATH}: {PATH.stat().st_size} bytes, SHA-256 {sha256_file(PATH)}")


if __name__ == "__main__":
    main()
