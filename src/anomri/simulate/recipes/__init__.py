from anomri.simulate.artefacts.artefact import ArtefactEntry

RECIPES: dict[str, ArtefactEntry] = {}
