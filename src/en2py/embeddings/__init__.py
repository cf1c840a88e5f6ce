"""Where token vectors come from before training; every option answers the same call."""

from en2py.embeddings.files import pretrained
from en2py.embeddings.vectors import Vectors, nearest
from en2py.embeddings.word2vec import code, joint, none, separate

__all__ = ["Vectors", "code", "joint", "nearest", "none", "pretrained", "separate"]
