"""``%deploy``, ``%undeploy`` and ``%models``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perijove import environment, models
from perijove.magics.arguments import Command
from perijove.magics.display import Card, Chip, Link, Listing, Status, say
from perijove.types.base import Visibility
from perijove.types.models import Deployment

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

DEPLOY = Command(
    "%deploy MODEL --version N [--name NAME] [--visibility private|group|everyone] "
    "[--group GROUP] [--no-wait]",
    words=(1, 1),
    flags={
        "--version": int,
        "--name": str,
        "--visibility": str,
        "--group": str,
        "--no-wait": bool,
    },
)
UNDEPLOY = Command("%undeploy NAME", words=(1, 1))
MODELS = Command("%models [WORDS]", words=(0, None))

#: Versions of each model that ``%models`` lists.
VERSIONS = 5


class Endpoint:
    """A deployed model: what ``%deploy`` returns."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    @property
    def name(self) -> str:
        """Its name, the last word of ``%undeploy NAME``."""
        return self.deployment.name

    @property
    def url(self) -> str:
        """Where to POST requests."""
        return self.deployment.url

    def predict(self, data: Any, *, params: dict[str, Any] | None = None) -> Any:
        """Call the model; see ``perijove.models.predict``."""
        return models.predict(self.name, data, params=params)

    def __repr__(self) -> str:
        return repr(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()

    def _card(self) -> Card:
        deployment = self.deployment
        inputs = [f"{column.name or at}" for at, column in enumerate(deployment.inputs)]
        shown = ", ".join(inputs[:6]) + (f" and {len(inputs) - 6} more" if inputs[6:] else "")
        return Card(
            deployment.name,
            {
                "model": f"{deployment.model} version {deployment.version}",
                "url": Link(deployment.url, deployment.url),
                "image": deployment.image,
                "inputs": shown or None,
                "visible to": _audience(deployment),
                "why": deployment.reason,
            },
            state=deployment.state.value,
        )


class ModelMagics:
    """Deploy registered models and see what is deployed."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def deploy(self, line: str) -> Endpoint:
        """Serve a version under a stable URL: ``%deploy breast-cancer --version 1``."""
        given = DEPLOY.parse(line)
        model, version = given.words[0], given["--version"]
        if version is None:
            raise DEPLOY.wrong("Which version? %models lists them.")
        if version < 1:
            raise DEPLOY.wrong("--version must be at least 1.")
        visibility = given["--visibility"]
        if visibility is not None and visibility not in list(Visibility):
            raise DEPLOY.wrong(f"--visibility must be {', '.join(Visibility)}, not '{visibility}'.")
        deployment = models.deploy(
            model,
            version,
            name=given["--name"],
            visibility=visibility,
            group=given["--group"],
        )
        if missing := environment.warning():
            say(missing)
        if not given["--no-wait"]:
            with Status() as status:
                deployment = models.wait(deployment.name, follow=lambda look: _show(status, look))
        say(f"{deployment.name}: {deployment.url}")
        return Endpoint(deployment)

    def undeploy(self, line: str) -> None:
        """Stop serving: ``%undeploy breast-cancer``."""
        name = UNDEPLOY.parse(line).words[0]
        models.undeploy(name)
        say(f"{name} is being undeployed; its URL no longer answers.")

    def models(self, line: str) -> Listing:
        """List registered models, their versions, and where they are deployed."""
        words = " ".join(MODELS.parse(line).words)
        deployments = {item.name: item for item in models.list(words)}
        rows: list[list[Any]] = []
        for model in models.registered(words):
            for version in model.versions[:VERSIONS]:
                own = [deployments.pop(name) for name in version.deployed_as if name in deployments]
                rows.append(
                    [
                        model.name,
                        version.version,
                        ", ".join(version.aliases),
                        version.user,
                        ", ".join(item.name for item in own),
                        Chip(own[0].state.value) if own else "",
                    ]
                )
        # What others share, of models in workspaces that are not ours.
        rows += [
            [item.model, item.version, "", item.owner, item.name, Chip(item.state.value)]
            for item in deployments.values()
        ]
        return Listing(
            ["model", "version", "aliases", "by", "deployed as", "state"],
            rows,
            empty="No models yet: log_model(..., registered_model_name='NAME') registers one.",
        )


def _show(status: Status, deployment: Deployment) -> None:
    what = f"{deployment.name}: {deployment.model} version {deployment.version}"
    why = f" - {deployment.reason}" if deployment.reason else ""
    status.show(f"{what}{why}", state=deployment.state.value)


def _audience(deployment: Deployment) -> str:
    if deployment.visibility is Visibility.group:
        return f"group {deployment.group}"
    return "you" if deployment.visibility is Visibility.private else "everyone"
