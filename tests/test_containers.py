# SPDX-License-Identifier: Apache-2.0
"""The images and docker-compose.yml, on a real engine: what is inside, who reaches whom, a cloud that is restarted."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import httpx2
import pytest
from browser import opened, running_chromium
from containers import (
    CHANNEL_IMAGE,
    MODEL_IMAGE,
    Project,
    build_images,
    classify,
    engine_problem,
    in_image,
    outcome,
    require,
    run,
    started,
    until,
)
from playwright.sync_api import expect
from sweep_bench import in_process
from toy_cifar import write_toy_test_set

from client import Client, NotAuthorizedError, SpikeLinkError
from experiments.sweeps.export import as_json
from models.weights import WEIGHTS_FOLDER

pytestmark = [pytest.mark.containers, pytest.mark.long]

ROLES = ("edge", "channel", "cloud", "dashboard")
SWEEP_IMAGES = 16
TOKEN, ADMIN_TOKEN = "/run/spikelink/token", "/run/spikelink/admin_token"

_OWN_PACKAGES = """
import pathlib, channel
own = ("channel", "cli", "client", "experiments", "models", "service", "tests")
print(*(name for name in own if pathlib.Path(channel.__file__).parents[1].joinpath(name).exists()))
"""
_INSTALLED = "import importlib.util; print(*(name for name in {names} if importlib.util.find_spec(name)))"
_PAGE = """
from service.nodes.dashboard.files import PAGE
from service.nodes.dashboard.reference import read_reference
assert {"index.html", "main.js", "vendor", "samples"} <= {path.name for path in PAGE.iterdir()}
print("ok" if read_reference()[0].points else "no points")
"""
_WEIGHTS = "import pathlib; print(*pathlib.Path('/').glob('[!ps]*/**/*.safetensors'), sep='\\n')"


@pytest.fixture(scope="module")
def images() -> None:
    require(engine_problem())
    build_images()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compose to mount, which the dashboard's user may read."""
    folder = tmp_path_factory.mktemp("data")
    folder.chmod(0o755)
    write_toy_test_set(folder / "cifar-100-binary", SWEEP_IMAGES)
    return folder


@pytest.fixture(scope="module")
def stack(images: None, data: Path) -> Iterator[Project]:
    # An empty port lets the engine choose: the tests disturb nobody who has 8001 in use.
    project = Project(
        f"spikelink-test-{os.getpid()}",
        "docker-compose.yml",
        {"EDGE_PORT": "", "CHANNEL_PORT": "", "DASHBOARD_PORT": "", "DEADLINE_S": "240", "DATA": str(data)},
    )
    with started(project):
        project.wait_healthy("edge")
        project.wait_healthy("dashboard")
        yield project


@pytest.fixture
def client(stack: Project) -> Iterator[Client]:
    token, admin_token = stack.execute("channel", "cat", TOKEN), stack.execute("channel", "cat", ADMIN_TOKEN)
    edge, channel = stack.url("edge", 8001), stack.url("channel", 8002)
    with Client(edge, channel_url=channel, token=token, admin_token=admin_token, timeout_s=250) as connected:
        yield connected


def test_the_channel_image_has_neither_torch_nor_networks_nor_weights(images: None) -> None:
    assert in_image(CHANNEL_IMAGE, _OWN_PACKAGES) == "channel cli client service"
    absent = ("torch", "spikingjelly", "safetensors", "models", "redis", "sionna", "scipy", "pytest")
    assert in_image(CHANNEL_IMAGE, _INSTALLED.format(names=absent)) == ""
    assert in_image(CHANNEL_IMAGE, _WEIGHTS) == ""
    assert in_image(CHANNEL_IMAGE, "import service.nodes.channel.app; print('ok')") == "ok"


def test_the_model_image_has_the_weights_and_no_torchvision(images: None) -> None:
    assert in_image(MODEL_IMAGE, _OWN_PACKAGES) == "channel cli client experiments models service"
    assert in_image(MODEL_IMAGE, _INSTALLED.format(names=("torchvision", "torchaudio", "pytest"))) == ""
    assert in_image(MODEL_IMAGE, _PAGE) == "ok"
    assert in_image(MODEL_IMAGE, "import experiments.sweeps.through_nodes; print('ok')") == "ok"
    assert in_image(MODEL_IMAGE, "from channel.ldpc import prefix_ldpc; prefix_ldpc(); print('ok')") == "ok"
    assert "/opt/spikelink/weights/resnet18/head.safetensors" in in_image(MODEL_IMAGE, _WEIGHTS).splitlines()


@pytest.mark.parametrize(("image", "user"), [(CHANNEL_IMAGE, "10001:10001"), (MODEL_IMAGE, "10002:10001")])
def test_an_image_runs_as_an_ordinary_user(images: None, image: str, user: str) -> None:
    assert run("docker", "inspect", "--format", "{{.Config.User}}", image).strip() == user


@pytest.mark.parametrize("role", ROLES)
def test_a_container_has_no_privileges_and_a_read_only_root(stack: Project, role: str) -> None:
    assert stack.execute(role, "id", "-u") != "0"
    status = dict(line.split(":\t", 1) for line in stack.execute(role, "cat", "/proc/1/status").splitlines())
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert stack.inspect(role, "{{.HostConfig.ReadonlyRootfs}}") == "true"
    assert stack.refuses(role, "touch", "/opt/spikelink/x")
    assert stack.refuses(role, "touch", "/run/spikelink/x")
    assert not stack.refuses(role, "touch", "/tmp/x")


def test_redis_has_no_privileges_and_keeps_what_it_is_given(stack: Project) -> None:
    assert stack.execute("redis", "id", "-u") == "10003"
    assert stack.inspect("redis", "{{.HostConfig.ReadonlyRootfs}}") == "true"
    assert stack.execute("redis", "redis-cli", "config", "get", "appendonly").split() == ["appendonly", "yes"]
    assert stack.refuses("redis", "ls", "/data/absent")
    assert not stack.refuses("redis", "ls", "/data/appendonlydir")


def test_ports_are_published_on_loopback_alone(stack: Project) -> None:
    addresses = "{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{end}}{{end}}"
    assert {role: stack.inspect(role, addresses) for role in (*ROLES, "redis")} == {
        "edge": "127.0.0.1",
        "channel": "127.0.0.1",
        "cloud": "",
        "dashboard": "127.0.0.1",
        "redis": "",
    }


def test_the_page_works_against_the_containers(stack: Project) -> None:
    url = stack.url("dashboard", 8000)
    token, admin_token = stack.execute("dashboard", "cat", TOKEN), stack.execute("dashboard", "cat", ADMIN_TOKEN)
    with Client(url, channel_url=url, token=token, admin_token=admin_token, timeout_s=250) as page:
        assert classify(page).outcome == "exhausted"
        assert page.change_link("forward", latency_ms=1.0).latency_ms == 1.0
        page.reset_links()
    with Client(url, channel_url=url, token=token) as user, pytest.raises(NotAuthorizedError):
        user.change_link("forward", latency_ms=1.0)
    assert "default-src 'self'" in httpx2.get(url, timeout=60).headers["Content-Security-Policy"]
    assert httpx2.get(f"{url}/v1/nodes", timeout=60).status_code == 401
    with httpx2.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {token}"}) as http:
        found = http.get("/v1/nodes").json()
        assert {node["role"]: node["health"] for node in found} == dict.fromkeys(ROLES, "ready")
        assert http.get("/readyz").json()["checks"] == {"page": "ok", "sweeps": "ok"}
        assert http.get("/v1/sweeps").json() == []


def test_a_browser_sends_an_image_and_runs_a_sweep_through_the_containers(
    stack: Project, data: Path, tmp_path: Path
) -> None:
    """The sweep's figures are to the last digit those of the same sweep in this process."""
    url = stack.url("dashboard", 8000)
    token, admin_token = stack.execute("dashboard", "cat", TOKEN), stack.execute("dashboard", "cat", ADMIN_TOKEN)
    with running_chromium() as browser, opened(browser, f"{url}/#token={token}") as tab:
        page = tab.page
        page.get_by_alt_text("a rocket").click()
        expect(page.locator(".verdict")).to_be_visible()
        assert page.locator("#ladder li").count() > 0
        page.get_by_text("A new sweep", exact=True).click()
        page.check("#sweep-of-multi-rate")
        settings = {"of-multi-rate-settings": "4", "bers": "0, 0.2", "count": str(SWEEP_IMAGES), "name": "contained"}
        for name, value in settings.items():
            page.fill(f"#sweep-{name}", value)
        page.click("#sweep-start")
        expect(page.get_by_role("dialog")).to_contain_text("Changing this needs the admin token")
        page.fill("#token", admin_token)
        page.get_by_role("button", name="Use it").click()
        row = page.locator(".sweeps tr", has_text="contained")
        expect(row).to_have_attribute("data-state", "complete")
        expect(page.locator("#legend label", has_text="sweep contained")).to_have_count(2)
        with page.expect_download() as saved:
            row.get_by_role("button", name="as JSON").click()
        found = Path(saved.value.path()).read_text()
        assert [text for text in tab.complaints if "status of 401" not in text] == []
        assert tab.origins == {url}
    spec = {
        "name": "contained",
        "bers": [0, 0.2],
        "seeds": [0],
        "images": {"data_set": "cifar100-test", "count": SWEEP_IMAGES},
        "series": [{"system": "snn-sc-harq"}, {"system": "multi-rate", "t": [4]}],
    }
    assert found == as_json(in_process(spec, data / "cifar-100-binary", WEIGHTS_FOLDER, tmp_path))


def test_an_image_is_classified_through_the_three_containers(client: Client) -> None:
    result = classify(client)
    assert result.outcome == "exhausted"
    assert [entry.payload_bits for entry in result.rounds] == [2080, 512, 512, 512, 512]
    assert result.durable
    assert all(entry.flipped_bits > 0 for entry in result.rounds)


def test_nobody_is_served_without_the_token(stack: Project) -> None:
    with Client(stack.url("edge", 8001)) as stranger, pytest.raises(NotAuthorizedError):
        classify(stranger)


def test_the_admin_token_is_for_the_channel_alone(stack: Project, client: Client) -> None:
    for role in ("edge", "cloud"):
        assert not stack.refuses(role, "cat", TOKEN)
        assert stack.refuses(role, "cat", ADMIN_TOKEN)
    token = stack.execute("edge", "cat", TOKEN)
    with Client(channel_url=stack.url("channel", 8002), token=token) as user:
        assert [link.name for link in user.links()] == ["forward", "feedback"]
        with pytest.raises(SpikeLinkError):
            user.change_link("forward", ber=0.5)


def test_the_edge_reaches_neither_cloud_nor_redis(stack: Project) -> None:
    addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    cloud = ["cloud:8003", *(f"{address}:8003" for address in stack.inspect("cloud", addresses).split())]
    redis = ["redis:6379", *(f"{address}:6379" for address in stack.inspect("redis", addresses).split())]
    assert len(cloud) == 3
    assert len(redis) == 2
    assert "open" not in stack.reach("edge", *cloud, *redis)
    assert "open" not in stack.reach("channel", *redis)
    # The same probe does find what may be reached.
    assert stack.reach("edge", "channel:8002") == ["open"]
    assert stack.reach("channel", *cloud[:1]) == ["open"]
    assert stack.reach("cloud", *redis) == ["open", "open"]


def test_a_session_outlives_the_cloud_being_stopped_between_two_rounds(stack: Project, client: Client) -> None:
    undisturbed = classify(client)
    started_at = stack.inspect("cloud", "{{.State.StartedAt}}")

    def answers() -> int:
        return client.links()[1].bits

    before, sent_bits = answers(), client.links()[0].bits
    client.change_link("forward", latency_ms=8000)  # time to stop the cloud while the second frame is on its way
    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(classify, client)
            until("the first frame is answered", lambda: answers() > before, 30)
            run("docker", "stop", stack.container("cloud"))
            assert answers() == before + 1, "the cloud has been stopped too late"
            client.reset_links()
            # The second frame has met a cloud that is gone, and is on its way again.
            again = sent_bits + 2080 + 2 * 512
            until("the second frame is sent again", lambda: running.done() or client.links()[0].bits >= again, 60)
            assert not running.done(), running.result()
            run("docker", "start", stack.container("cloud"))
            result = running.result(timeout=260)
    except BaseException:
        stack.show(*ROLES)
        raise
    finally:
        client.reset_links()
    assert stack.inspect("cloud", "{{.State.StartedAt}}") != started_at
    assert outcome(result) == outcome(undisturbed)
    assert result.http_retries > 0
    assert result.restarts == 0  # the record was in Redis: the session went on, it was not begun again


@pytest.mark.parametrize("role", ["edge", "channel", "cloud", "redis"])
def test_a_container_that_is_paused_goes_on(stack: Project, client: Client, role: str) -> None:
    """The caller waits for as long as the container does, and gets the same answer."""
    undisturbed, container = classify(client), stack.container(role)
    run("docker", "pause", container)
    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(classify, client)
            if role == "redis":
                assert not running.result(timeout=60).durable
            else:
                assert not wait([running], timeout=3).done
            run("docker", "unpause", container)
            assert outcome(running.result(timeout=250)) == outcome(undisturbed)
    finally:
        if stack.inspect(role, "{{.State.Paused}}") == "true":
            run("docker", "unpause", container)
    until("sessions are durable again", lambda: classify(client).durable, 60)
