import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.generators.convolution import Conv, convolve

pytestmark = pytest.mark.outer


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def plain(x, kernel, stride, padding):
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=axes
    )


@pytest.mark.parametrize(
    ("stride", "padding"), [(1, ((1, 1), (1, 1))), (2, ((1, 1), (1, 1))), (2, ((0, 1), (0, 1)))]
)
def test_values_and_all_derivatives_are_jaxs(stride, padding):
    x, kernel = draw(2, 6, 6, 3), draw(3, 3, 3, 4, seed=1)
    tangents = draw(2, 6, 6, 3, seed=2), draw(3, 3, 3, 4, seed=3)

    def results(convolution):
        def loss(x, kernel):
            return (jnp.tanh(convolution(x, kernel, stride, padding)) ** 2).sum()

        gradient = jax.grad(loss, argnums=(0, 1))
        lanes = jax.vmap(lambda x: jax.grad(loss)(x[None], kernel))(x)
        forward = jax.jvp(loss, (x, kernel), tangents)
        curvature = jax.jvp(gradient, (x, kernel), tangents)
        return loss(x, kernel), gradient(x, kernel), lanes, forward, curvature

    found, wanted = jax.jit(lambda: results(convolve))(), jax.jit(lambda: results(plain))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), found, wanted)


def test_its_derivatives_are_convolutions_in_the_fast_order():
    """The order of the kernel's axes that XLA's CPU loops compute fast: [h, w, in, out]."""

    def loss(x, kernel):
        step = lambda x, _: (jnp.tanh(convolve(x, kernel, 1, ((1, 1), (1, 1)))), None)  # noqa: E731
        return jax.lax.scan(step, x, length=3)[0].sum()

    def along(x, kernel):
        return jax.jvp(lambda x: loss(x, kernel), (x,), (x,))

    def back_and_forth(x, kernel):
        tangent = jax.linearize(lambda x: loss(x, kernel), x)[1]
        return jax.linear_transpose(tangent, x)(tangent(x))

    lanes = jax.vmap(lambda x, kernel: jax.grad(loss)(x[None], kernel), in_axes=(0, None))
    for derivative, count in ((jax.grad(loss), 2), (along, 2), (back_and_forth, 3), (lanes, 2)):
        text = jax.jit(derivative).lower(draw(1, 4, 4, 2), draw(3, 3, 2, 2)).as_text()
        convolutions = [line for line in text.splitlines() if "stablehlo.convolution" in line]
        assert len(convolutions) == count
        assert all("x[0, 1, i, o]->" in line for line in convolutions)


def test_lanes_may_have_kernels_of_their_own():
    x, kernel = draw(5, 2, 6, 6, 3), draw(5, 3, 3, 3, 4, seed=1)
    how = (2, ((0, 1), (0, 1)))
    for axes in ((0, 0), (1, 0), (None, 0), (1, None)):
        args = [a if axis is not None else a[0] for a, axis in zip((x, kernel), axes, strict=True)]
        args[0] = jnp.moveaxis(args[0], 0, 1) if axes[0] == 1 else args[0]
        found, wanted = (
            jax.vmap(lambda x, kernel, f=f: f(x, kernel, *how), in_axes=axes)(*args)
            for f in (convolve, plain)
        )
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_the_layer_is_flaxs(size, stride):
    ours = Conv(3, 5, size, stride=stride, rngs=nnx.Rngs(0))
    theirs = nnx.Conv(3, 5, (size, size), strides=stride, padding=size // 2, rngs=nnx.Rngs(1))
    nnx.update(theirs, nnx.state(ours))
    theirs.bias[...] = ours.bias[...] = draw(5)
    x = draw(2, 8, 8, 3)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)
    assert abs(float(ours.kernel[...].std()) - (3 * size**2) ** -0.5) < 0.15
    assert not Conv(3, 5, size, zero=True, rngs=nnx.Rngs(0)).kernel[...].any()
