"""Who comes in at the edge, to which paths, and what protects the pods.

The chart's policies and the controller's routes on a real Envoy; the pods behind it only say what reached them, so that
every refusal is the gateway's own.
"""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from lead_controller.routes import GRPC_METHODS, GRPC_SERVICE

from tests.cluster.edge.asking import Asker, Closed, read
from tests.cluster.edge.paths import ALLOWED, METHODS, TRICKS
from tests.cluster.edge.site import NAME, Site, backend, forwarded
from tests.cluster.edge.tokens import AUDIENCE, ISSUER, SCOPE, Issuer
from tests.cluster.kubectl import Kubectl
from tests.cluster.settings import Settings
from tests.support.stack import until

pytestmark = pytest.mark.timeout(420)

INFER = "/v2/models/lead-scoring/infer"
MEBI = 1024 * 1024


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def site(cluster: Kubectl, settings: Settings, issuer: Issuer) -> Iterator[Site]:
    """A namespace with two pods that echo, and the key set of the issuer."""
    name = f"lead-edge-{secrets.token_hex(3)}"
    kubectl = Kubectl(name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        keys = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keys"}, "data": {"jwks": issuer.key_set}}
        kubectl.apply(*backend(settings.images["transformer"]), keys)
        kubectl("rollout", "status", "deployment/echo", "--timeout=120s", timeout_s=130)
        yield Site(kubectl, f"{name}.example.com")
    finally:
        if not settings.keep:
            cluster("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def values(site: Site, settings: Settings) -> dict[str, Any]:
    """Tokens of the issuer for the audience and with the scope; short waits."""
    accepted = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "scopes": [SCOPE],
        "jwks": {"configMapName": "keys"},
    }
    return {
        "edge": {
            "gateway": {"name": settings.gateway_name, "namespace": settings.gateway_namespace},
            "rest": {"hostnames": [site.host]},
            "grpc": {"hostnames": [f"grpc.{site.host}"]},
            "auth": {"mode": "jwt", "jwt": accepted},
        },
    }


@pytest.fixture(scope="module")
def asker(site: Site, settings: Settings) -> Asker:
    """The cluster's gateway."""
    url = settings.gateway_url
    if url is None:
        found = Kubectl(settings.gateway_namespace).get("gateway", settings.gateway_name)
        url = f"http://{found['status']['addresses'][0]['value']}:{found['spec']['listeners'][0]['port']}"
    parts = urlsplit(url)
    return Asker((parts.hostname or "", parts.port or 80), site.host)


@pytest.fixture
def guarded(site: Site, values: dict[str, Any], asker: Asker, issuer: Issuer) -> dict[str, str]:
    """Tokens are asked for; returns the headers of somebody who has one."""
    site.install(values)
    headers = bearer(issuer.token())
    until(lambda: asker.ask("/v2", headers).status == 200, "a good token opens", within_s=60, every_s=0.2)
    until(lambda: asker.ask("/v2").status == 401, "nothing else does", within_s=60, every_s=0.2)
    return headers


@pytest.fixture
def well(site: Site) -> Iterator[Site]:
    """All pods are well, and so again afterwards."""
    site.mend()
    yield site
    site.mend()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def call(asker: Asker, method: str, headers: dict[str, str]) -> tuple[Any, dict[str, Any] | None]:
    """Call a gRPC method; return its code and what the pod saw."""
    options = [("grpc.default_authority", f"grpc.{asker.host}")]
    with grpc.insecure_channel("{}:{}".format(*asker.address), options=options) as channel:
        try:
            answer = channel.unary_unary(method)(b"", metadata=list(headers.items()), timeout=15)
        except grpc.RpcError as error:
            return error.code(), None
    return grpc.StatusCode.OK, json.loads(answer)


# -- who comes in


def test_a_good_token_opens_every_listed_path(guarded: dict[str, str], asker: Asker) -> None:
    for method, path in sorted(ALLOWED):
        answer = asker.ask(path, guarded, method=method)
        assert (answer.status, answer.seen is not None) == (200, True), (method, path, answer)
    for method in GRPC_METHODS:
        code, seen = call(asker, f"/{GRPC_SERVICE}/{method}", guarded)
        assert (code, seen is not None) == (grpc.StatusCode.OK, True), method


def test_nothing_is_answered_without_a_good_token(guarded: dict[str, str], asker: Asker, issuer: Issuer) -> None:
    """Hosts x paths x tokens: not one of them reaches a pod."""
    tokens: dict[str, dict[str, str]] = {
        "none": {},
        "in another header": {"x-authorization": guarded["authorization"], "cookie": guarded["authorization"]},
        "of another scheme": {"authorization": guarded["authorization"].replace("Bearer", "Basic")},
        **{name: bearer(token) for name, token in issuer.bad_tokens().items()},
    }
    hosts = [asker.host, asker.host.upper(), f"{asker.host}:80"]
    for name, headers in tokens.items():
        for method, path in sorted(ALLOWED):
            for host in hosts:
                answer = asker.ask(path, {**headers, "host": host}, method=method)
                assert answer.status in (401, 403), (name, method, path, host, answer)
        for method in GRPC_METHODS:
            code, _ = call(asker, f"/{GRPC_SERVICE}/{method}", headers)
            assert code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED), (name, method, code)
    in_the_query = asker.ask(f"/v2?access_token={guarded['authorization'].split()[1]}")
    assert in_the_query.status == 401


def test_tokens_end_at_the_gateway_and_clients_claims_about_it_too(guarded: dict[str, str], asker: Asker) -> None:
    lies = {
        "x-lead-variant": "v9",
        "x-lead-split": "v9=100",
        "x-envoy-upstream-rq-timeout-ms": "60000",
        "x-envoy-expected-rq-timeout-ms": "60000",
        "x-envoy-max-retries": "9",
        "x-envoy-retry-on": "5xx",
        "x-envoy-internal": "true",
    }
    seen = asker.ask("/v2", {**guarded, **lies}).seen
    assert seen is not None
    _, called = call(asker, f"/{GRPC_SERVICE}/ServerLive", {**guarded, **lies})
    assert called is not None
    for headers in (seen["headers"], called["headers"]):
        assert "authorization" not in headers
        assert (headers["x-lead-variant"], headers["x-lead-split"]) == ("v1", "v1=100")
        assert headers.get("x-envoy-expected-rq-timeout-ms") != "60000"
        assert not {"x-envoy-upstream-rq-timeout-ms", "x-envoy-max-retries", "x-envoy-retry-on"} & set(headers)


@pytest.mark.parametrize(
    "absent",
    [
        {"mode": "jwt", "jwt": {"jwks": {"configMapName": "absent"}}},
        {"mode": "apiKey", "apiKey": {"secretNames": ["absent"]}},
    ],
    ids=["jwt", "apiKey"],
)
def test_nobody_comes_in_while_the_keys_are_missing(
    guarded: dict[str, str], site: Site, values: dict[str, Any], asker: Asker, absent: dict[str, Any]
) -> None:
    auth = values["edge"]["auth"]
    site.install({"edge": {**values["edge"], "auth": {**auth, **absent, "jwt": auth["jwt"] | absent.get("jwt", {})}}})
    until(lambda: asker.ask("/v2", guarded).status != 200, "the gateway refuses", within_s=60, every_s=0.2)
    for method, path in sorted(ALLOWED):
        for headers in (guarded, {}, {"x-api-key": "absent"}):
            answer = asker.ask(path, headers, method=method)
            assert (answer.status in (401, 403, 500), answer.seen) == (True, None), (path, headers, answer)


def test_api_keys_open_and_end_at_the_gateway(site: Site, values: dict[str, Any], asker: Asker) -> None:
    site.kubectl.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "clients"}, "stringData": {"crm": "right-key"}}
    )
    auth = {"mode": "apiKey", "apiKey": {"secretNames": ["clients"], "header": "x-api-key"}}
    site.install({"edge": {**values["edge"], "auth": auth}})
    right = {"x-api-key": "right-key"}
    until(lambda: asker.ask("/v2", right).status == 200, "the key opens", within_s=60, every_s=0.2)
    seen = asker.ask("/v2", right).seen
    assert seen is not None
    assert "right-key" not in json.dumps(seen)
    for wrong in ({}, {"x-api-key": "wrong"}, {"x-api-key": ""}, {"x-api-key": "crm"}, {"authorization": "right-key"}):
        for method, path in sorted(ALLOWED):
            assert asker.ask(path, wrong, method=method).status == 401, (wrong, method, path)
    assert asker.ask("/v2?x-api-key=right-key").status == 401


# -- to which paths


def test_only_listed_paths_reach_a_pod(guarded: dict[str, str], asker: Asker) -> None:
    """However a path is written: the pod sees a listed one, as it is listed, or the gateway answers by itself."""
    for path in TRICKS:
        for method in ("GET", "POST"):
            answer = asker.ask(path, guarded, method=method)
            if answer.seen is None:
                # 307: a Gateway with Envoy Gateway's default sends escaped slashes back in the plain form
                assert answer.status in (307, 400, 404), (method, path, answer)
            else:
                reached = (answer.seen["method"], answer.seen["path"].partition("?")[0])
                assert reached in ALLOWED, (method, path, reached)


def test_only_listed_methods_reach_a_pod(guarded: dict[str, str], asker: Asker) -> None:
    disguised = {"x-http-method-override": "GET", "x-http-method": "GET", "x-original-url": "/v2"}
    for _, path in sorted(ALLOWED):
        for method in METHODS:
            if (method, path) not in ALLOWED:
                answer = asker.ask(path, {**guarded, **disguised}, method=method)
                assert (answer.status, answer.seen) == (404, None), (method, path)


@pytest.mark.parametrize(
    "method",
    [
        *(f"/{GRPC_SERVICE}/Repository{name}" for name in ("Index", "ModelLoad", "ModelUnload")),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Check",
        f"/{GRPC_SERVICE}/",
        f"/{GRPC_SERVICE}/ModelInfer/../RepositoryIndex",
        f"/{GRPC_SERVICE}/%52epositoryIndex",
        f"/{GRPC_SERVICE}%2fRepositoryIndex",
    ],
)
def test_no_other_grpc_method_is_there(guarded: dict[str, str], asker: Asker, method: str) -> None:
    code, seen = call(asker, method, guarded)
    assert seen is None
    assert code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL), code


# -- what protects the pods


def test_a_large_body_ends_at_the_gateway(guarded: dict[str, str], asker: Asker) -> None:
    taken = asker.ask(INFER, guarded, method="POST", body=b"x" * (7 * MEBI))
    assert taken.seen is not None
    assert taken.seen["bytes"] == 7 * MEBI
    assert asker.ask(INFER, guarded, method="POST", body=b"x" * (9 * MEBI)).status == 413


def test_a_frozen_pod_costs_a_second_each_and_is_soon_left_out(
    guarded: dict[str, str], asker: Asker, well: Site
) -> None:
    """With Envoy Gateway's default (10 % of the pods at most) nobody is ever taken out of two."""
    frozen = well.spoil(delay_s=3)
    begin = time.monotonic()

    def shot(number: int) -> tuple[float, int, float, str]:
        time.sleep(max(0.0, begin + number / 40 - time.monotonic()))
        sent = time.monotonic()
        answer = asker.ask("/v2", guarded)
        return sent - begin, answer.status, time.monotonic() - sent, (answer.seen or {}).get("pod", "")

    with ThreadPoolExecutor(80) as pool:
        shots = list(pool.map(shot, range(40 * 12)))
    counts = Counter(status for _, status, _, _ in shots)
    assert set(counts) == {200, 504}, counts
    assert all(took < 2.5 for _, _, took, _ in shots)
    assert 30 <= counts[504] < 120, counts
    assert frozen not in {pod for _, _, _, pod in shots}
    late = [status for at, status, _, _ in shots if at > 8]
    assert set(late) == {200}, Counter(late)


def test_a_pod_that_only_fails_is_left_out_and_the_last_one_never_is(
    guarded: dict[str, str], asker: Asker, well: Site
) -> None:
    well.spoil(status=500)
    until(
        lambda: all(asker.ask("/v2", guarded).status == 200 for _ in range(20)),
        "the failing pod gets nothing",
        within_s=60,
        every_s=0.01,
    )
    for pod in well.pods():
        well.write(pod, json.dumps({"status": 500}))
    answers = [asker.ask("/v2", guarded) for _ in range(60)]
    assert all(answer.status == 500 and answer.seen for answer in answers)


def test_a_flood_is_cut_off_with_429(guarded: dict[str, str], site: Site, values: dict[str, Any], asker: Asker) -> None:
    site.install({"edge": {**values["edge"], "limits": {"requestsPerSecond": 5}}})

    def flooded() -> bool:
        return 429 in {asker.ask("/v2", guarded).status for _ in range(12)}

    until(flooded, "a flood is cut off", within_s=60)
    headers = asker.ask("/v2", guarded).headers
    assert not [name for name in headers if name.startswith("x-ratelimit")]


# -- a Gateway of the release's own


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Path:
    """A CA, the service's certificate, and those of two clients."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=ca")
    for name, dns in (("server", site.host), ("crm", "crm.example.com"), ("other", "other.example.com")):
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=x")
        (folder / "names").write_text(f"subjectAltName=DNS:{dns}\n")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "2", "-out", f"{name}.crt", "-extfile", "names"),
        )
    for name, files in (
        ("server", {"tls.crt": "server.crt", "tls.key": "server.key"}),
        ("clients-ca", {"ca.crt": "ca.crt"}),
    ):
        data = {key: (folder / file).read_text() for key, file in files.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        site.kubectl.apply({**secret, "type": "kubernetes.io/tls"} if name == "server" else secret)
    return folder


def tls(folder: Path, client: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if client:
        context.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
    return context


@pytest.fixture(scope="module")
def own(values: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Values of a Gateway of the release's own, small and with short waits."""
    clients = {"caSecretName": "clients-ca", "dnsNames": ["crm.example.com"]}
    return {
        **values,
        "gateway": {
            "create": True,
            "tls": {"secretName": "server", "clients": clients},
            "limits": {"headersSeconds": 2, "requestSeconds": 3},
            "proxy": {
                "replicas": 1,
                "image": settings.envoy_image,
                "minDrainSeconds": 1,
                "drainSeconds": 3,
                "resources": {"requests": {"cpu": "5m", "memory": "64Mi"}},
                "service": {"type": "ClusterIP", "externalTrafficPolicy": "Cluster"},
            },
        },
    }


def test_a_gateway_of_ones_own_bounds_what_clients_may_do(
    site: Site, own: dict[str, Any], certificates: Path, issuer: Issuer
) -> None:
    site.install(own)
    headers = bearer(issuer.token())
    with forwarded(site.kubectl, NAME) as port:
        asker = Asker(("127.0.0.1", port), site.host, tls(certificates))
        until(lambda: status(asker, "/v2", headers) == 200, "it answers", within_s=60, every_s=0.2)
        assert status(asker, "/v2", {}) == 401

        seen = asker.ask("/v2", {**headers, "x-envoy-expected-rq-timeout-ms": "60000"}).seen
        assert seen is not None
        assert 0 < int(seen["headers"]["x-envoy-expected-rq-timeout-ms"]) <= 1000
        for path in ("/v2%2fhealth%2flive", "/v2%5chealth%5clive"):
            assert status(asker, path, headers) == 400, path
        assert status(asker, "/v2//health/live", headers) == 404
        assert status(asker, "/v2", {**headers, "under_score": "x"}) == 400
        for path in TRICKS:
            answer = asker.ask(path, headers)
            assert answer.status in (400, 404) or answer.seen is not None, (path, answer)

        with asker.connect() as slow:
            slow.sendall(b"GET /v2 HTTP/1.1\r\nhost: ")
            assert read(slow).status == 408
        with asker.connect() as slow:
            slow.sendall(asker.head("POST", INFER, {**headers, "content-length": "9"}) + b"{")
            assert read(slow).status == 408

        old = tls(certificates)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            Asker(asker.address, site.host, old).connect()
        with pytest.raises(Closed):
            Asker(asker.address, site.host).ask("/v2", headers)


def test_a_gateway_of_ones_own_takes_so_many_connections_and_no_more(
    site: Site, own: dict[str, Any], certificates: Path, issuer: Issuer
) -> None:
    limits = {**own["gateway"]["limits"], "connections": 20}
    site.install({**own, "gateway": {**own["gateway"], "limits": limits}})
    headers = bearer(issuer.token())
    with forwarded(site.kubectl, NAME) as port:
        asker = Asker(("127.0.0.1", port), site.host, tls(certificates))
        until(lambda: status(asker, "/v2", headers) == 200, "it answers", within_s=60, every_s=0.2)
        held = []
        answered = 0
        for _ in range(30):
            try:
                connection = asker.connect()
                held.append(connection)
                connection.sendall(asker.head("GET", "/v2", headers))
                answered += read(connection).status == 200
            except (OSError, Closed):
                continue
        for connection in held:
            connection.close()
        assert answered == 20


def test_mtls_lets_in_who_has_a_certificate_with_the_right_name(
    site: Site, own: dict[str, Any], certificates: Path
) -> None:
    """Where certificates are asked for, no policy on the routes is needed: nobody else gets that far."""
    site.install({**own, "edge": {**own["edge"], "auth": {"mode": "mtls"}}})
    with forwarded(site.kubectl, NAME) as port:
        crm = Asker(("127.0.0.1", port), site.host, tls(certificates, "crm"))
        until(lambda: status(crm, "/v2", {}) == 200, "the right certificate opens", within_s=60, every_s=0.2)
        for client in (None, "other"):
            assert status(Asker(crm.address, site.host, tls(certificates, client)), "/v2", {}) is None, client


def status(asker: Asker, path: str, headers: dict[str, str]) -> int | None:
    """Return the status of an answer, None if there is none."""
    try:
        return asker.ask(path, headers).status
    except (OSError, Closed):
        return None
