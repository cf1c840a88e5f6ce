import pytest

from en2py.models.transformer import Transformer
from tiny_transformer import transformer


@pytest.fixture(params=[("pre", "learned"), ("post", "learned"), ("pre", "rotary")])
def model(request) -> Transformer:
    norm, positions = request.param
    return transformer(norm=norm, positions=positions)


@pytest.fixture
def copying() -> Transformer:
    return transformer(copy=True)
