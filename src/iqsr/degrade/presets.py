"""The named degradations, every range and probability as published."""

from iqsr.degrade.kernels import Blur, FinalSinc, KernelMix
from iqsr.degrade.noise import Noise
from iqsr.degrade.pipeline import OneStage, Resize, Stage, TwoStage
from iqsr.errors import UnknownNameError

_REAL_ESRGAN_MIX = KernelMix(
    iso=0.45, aniso=0.25, generalised_iso=0.12, generalised_aniso=0.03, plateau_iso=0.12, plateau_aniso=0.03
)
_REAL_ESRGAN_SIZES = (7, 9, 11, 13, 15, 17, 19, 21)

_HGGT_ONE_STAGE = OneStage(
    Stage(
        blur=Blur(sizes=(3, 5, 7, 9), sigma=(0.1, 1.0), sinc=0.01),
        resize=Resize((0.8, 1.2)),
        noise=Noise(sigma=(1, 12), scale=(0.05, 0.8), gray=0.2),
        jpeg=(75, 95),
    )
)
_HGGT_TWO_STAGE = TwoStage(
    first=Stage(
        blur=Blur(sizes=(3, 5, 7), sigma=(0.1, 0.6), sinc=0.01),
        resize=Resize((0.9, 1.1)),
        noise=Noise(sigma=(1, 8), scale=(0.05, 0.5), gray=0.2),
        jpeg=(85, 95),
    ),
    second=Stage(
        blur=Blur(sizes=(3, 5), sigma=(0.1, 0.4), sinc=0.01, probability=0.8),
        resize=Resize((0.9, 1.1)),
        noise=Noise(sigma=(0, 4), scale=(0, 0.3), gray=0.2),
        jpeg=(87, 95),
    ),
    final_sinc=FinalSinc(sizes=(3, 5), probability=0.1),
)
_REAL_ESRGAN = TwoStage(
    first=Stage(
        blur=Blur(sizes=_REAL_ESRGAN_SIZES, sigma=(0.2, 3.0), sinc=0.1, mix=_REAL_ESRGAN_MIX),
        resize=Resize((0.15, 1.5), up=0.2, down=0.7, keep=0.1),
        noise=Noise(sigma=(1, 30), scale=(0.05, 3.0), gray=0.4),
        jpeg=(30, 95),
    ),
    second=Stage(
        blur=Blur(sizes=_REAL_ESRGAN_SIZES, sigma=(0.2, 1.5), sinc=0.1, mix=_REAL_ESRGAN_MIX, probability=0.8),
        resize=Resize((0.3, 1.2), up=0.3, down=0.4, keep=0.3),
        noise=Noise(sigma=(1, 25), scale=(0.05, 2.5), gray=0.4),
        jpeg=(30, 95),
    ),
    final_sinc=FinalSinc(sizes=_REAL_ESRGAN_SIZES, probability=0.8),
)
_PRESETS: dict[str, OneStage | TwoStage] = {
    "hggt-one-stage": _HGGT_ONE_STAGE,
    "hggt-two-stage": _HGGT_TWO_STAGE,
    "real-esrgan": _REAL_ESRGAN,
}


def pipeline_names() -> list[str]:
    """All that `pipeline` knows, mildest first."""
    return list(_PRESETS)


def pipeline(name: str) -> OneStage | TwoStage:
    """A named degradation; `dataclasses.replace` changes it. UnknownNameError lists the names."""
    if name not in _PRESETS:
        raise UnknownNameError("degradation", name, pipeline_names())
    return _PRESETS[name]
