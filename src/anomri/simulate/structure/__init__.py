"""One file per family of lesions and structure that is not as it should be, and the table of them all."""

from __future__ import annotations

from anomri.simulate.artefacts.artefact import ArtefactEntry
from anomri.simulate.structure.absent import AbsentDrawn, apply_absent, core_absent, draw_absent
from anomri.simulate.structure.atrophy import AtrophyDrawn, apply_atrophy, core_atrophy, draw_atrophy
from anomri.simulate.structure.cavity import CavityDrawn, apply_cavity, draw_cavity
from anomri.simulate.structure.diffuse import DiffuseDrawn, apply_diffuse, core_diffuse, draw_diffuse
from anomri.simulate.structure.focal import FocalDrawn, apply_focal, core_focal, draw_bright, draw_dark
from anomri.simulate.structure.implant import ImplantDrawn, apply_implant, draw_implant
from anomri.simulate.structure.mass import MassDrawn, apply_mass, core_mass, draw_mass
from anomri.simulate.structure.multifocal import MultifocalDrawn, apply_multifocal, core_multifocal, draw_multifocal
from anomri.simulate.structure.patch import PatchDrawn, apply_patch, draw_patch
from anomri.simulate.structure.texture import TextureDrawn, apply_texture, draw_texture

__all__ = ["STRUCTURE"]

STRUCTURE: dict[str, ArtefactEntry] = {
    "bright-lesion": ArtefactEntry(
        draw_bright, apply_focal, FocalDrawn, 1, "bright lesion", local=True, core=core_focal, takes_outline=True
    ),
    "dark-lesion": ArtefactEntry(
        draw_dark, apply_focal, FocalDrawn, 1, "dark lesion", local=True, core=core_focal, takes_outline=True
    ),
    "textured-lesion": ArtefactEntry(
        draw_texture,
        apply_texture,
        TextureDrawn,
        1,
        "lesion of another texture and the same grey values",
        local=True,
        core=core_focal,
        takes_outline=True,
    ),
    "mass-effect": ArtefactEntry(
        draw_mass, apply_mass, MassDrawn, 1, "a mass that pushes tissue aside", local=True, core=core_mass
    ),
    "atrophy": ArtefactEntry(
        draw_atrophy,
        apply_atrophy,
        AtrophyDrawn,
        1,
        "wide ventricles, or a region that shrank",
        local=True,
        core=core_atrophy,
    ),
    "cavity": ArtefactEntry(
        draw_cavity,
        apply_cavity,
        CavityDrawn,
        1,
        "resection cavity full of fluid, with a rim",
        local=True,
        core=core_focal,
        takes_outline=True,
    ),
    "foreign-patch": ArtefactEntry(
        draw_patch,
        apply_patch,
        PatchDrawn,
        1,
        "tissue of another scan or another place",
        local=True,
        core=core_focal,
        takes_outline=True,
        takes_donor=True,
    ),
    "multifocal": ArtefactEntry(
        draw_multifocal,
        apply_multifocal,
        MultifocalDrawn,
        1,
        "many small foci around the ventricles",
        local=True,
        core=core_multifocal,
    ),
    "diffuse": ArtefactEntry(
        draw_diffuse,
        apply_diffuse,
        DiffuseDrawn,
        1,
        "a lobe a little off, without an edge",
        local=True,
        core=core_diffuse,
    ),
    "absent-structure": ArtefactEntry(
        draw_absent,
        apply_absent,
        AbsentDrawn,
        1,
        "tissue of the other side, or average tissue, in place of its own",
        local=True,
        core=core_absent,
    ),
    "implant": ArtefactEntry(
        draw_implant, apply_implant, ImplantDrawn, 1, "metal with a rim, or a gel", local=True, core=core_focal
    ),
}
