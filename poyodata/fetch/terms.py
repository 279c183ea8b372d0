"""What the Allen Institute asks of those who use its recordings."""

from __future__ import annotations

from pathlib import Path

FILE_NAME = "TERMS.txt"
TERMS_OF_USE = "https://alleninstitute.org/terms-of-use/"
CITATION_POLICY = "https://alleninstitute.org/legal/citation-policy/"

TERMS = f"""\
These recordings belong to the Allen Institute. They are free for research and other non-commercial use under its
Terms of Use ({TERMS_OF_USE}), which restrict commercial use: read them first.
Whoever publishes with them has to cite ({CITATION_POLICY}):
  de Vries, S.E.J., Lecoq, J.A., Buice, M.A., et al. (2020). A large-scale standardized physiological survey reveals
  functional organization of the mouse visual cortex. Nature Neuroscience 23, 138-151. doi:10.1038/s41593-019-0550-9
  Allen Institute MindScope Program (2016). Allen Brain Observatory -- 2-photon visual coding [dataset].
  Available from brain-map.org/explore/circuits
"""


def write_terms(folder: Path) -> Path:
    """Put the terms and the citations beside the recordings.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Returns
    -------
    Path
        The file, ``TERMS.txt``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_terms(Path(folder)).name
    'TERMS.txt'
    """
    path = folder / FILE_NAME
    if not path.is_file() or path.read_text(encoding="utf-8") != TERMS:
        path.write_text(TERMS, encoding="utf-8")
    return path
