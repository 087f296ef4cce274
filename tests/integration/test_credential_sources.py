"""Every source of credentials, well and ill, by way of `syncctl create-tables`: its exit code and its
sentence. Success means that the service took a request signed with what the source handed out."""

import json
import os
import stat
import sys

import pytest

from credential_sources import CONTAINER_PATH, ROLE, Reply, Sources
from harness import REGION

CANARY = "CANARYthatMustNeverBeSeen"
ROLE_ARN = "arn:aws:iam::123456789012:role/mirror"


@pytest.fixture
def job(fault, faulty, sources):
    """A mirror without credentials; asked(), refused() run the job. The environment names nobody."""
    env = faulty.environment
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        del env[name]
    env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = sources.url
    env["AWS_METADATA_SERVICE_TIMEOUT"] = "1"
    env["AWS_ENDPOINT_URL_STS"] = sources.url
    env["AWS_CONFIG_FILE"] = os.path.join(faulty.dir, "aws-config")
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)")

    def write_config(text):
        with open(env["AWS_CONFIG_FILE"], "w", encoding="utf-8") as out:
            out.write(text)

    def asked():
        done = faulty.ctl("create-tables")
        assert done.returncode == 0, done.stderr
        return [r.access_key for r in fault.requests if r.access_key][-1]

    def refused():
        done = faulty.ctl("create-tables")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, (done.returncode, done.stderr)
        assert CANARY not in done.stderr + done.stdout
        return done.stderr

    faulty.write_config, faulty.asked, faulty.refused = write_config, asked, refused
    return faulty


def near(job, sources):
    """The credentials come from the container's endpoint."""
    job.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = sources.url + CONTAINER_PATH


# The instance's role.


def test_the_instances_role(job, sources):
    assert job.asked() == "ASIAROLE1"
    assert [s.kind for s in sources.seen] == ["token", "roles", "role"]


def test_a_session_token_that_has_run_out_is_renewed_once(job, sources):
    sources.replies["role"] = [Reply(401)]
    assert job.asked() == "ASIAROLE1"
    assert [s.kind for s in sources.seen] == ["token", "roles", "role", "token", "role"]
    sources.replies["roles"] = Reply(401)
    assert "HTTP 401" in job.refused()
    assert sources.count("token") == 4


def test_no_role_is_attached(job, sources):
    sources.role = ""
    text = job.refused()
    assert "no AWS credentials found" in text and "none is attached to this instance" in text


@pytest.mark.parametrize("status", [403, 404, 405])
def test_only_version_2_of_the_metadata_service(job, sources, status):
    sources.replies["token"] = Reply(status)
    assert "only version 2 of the metadata service is used" in job.refused()
    assert sources.count("roles") == 0


@pytest.mark.parametrize("kind", ["token", "roles", "role"])
def test_the_metadata_service_stumbles(job, sources, kind):
    for reply in (Reply(500), Reply(503, b"<html>"), Reply(drop=True), Reply(cut=True, body=b"xx")):
        sources.replies[kind] = [reply]
        assert job.asked().startswith("ASIAROLE")


@pytest.mark.parametrize("kind", ["token", "roles", "role"])
def test_the_metadata_service_is_stuck(job, sources, kind):
    job.environment["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = "1"
    sources.replies[kind] = Reply(hang=True)
    assert "no answer from " + sources.url in job.refused()


def test_nobody_is_at_the_metadata_services_address(job, sources):
    job.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1"
    assert "no answer from http://127.0.0.1:1" in job.refused()
    job.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://metadata.example"
    assert "credentials are taken over plain http only from this machine" in job.refused()
    job.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    assert "AWS_EC2_METADATA_DISABLED is true" in job.refused()


GOOD = {
    "Code": "Success",
    "AccessKeyId": "ASIAX",
    "SecretAccessKey": CANARY,
    "Token": CANARY,
    "Expiration": "2999-01-01T00:00:00Z",
}


def without(*names, **other):
    return dict({n: v for n, v in GOOD.items() if n not in names}, **other)


BROKEN = [
    (b"", "it is not JSON"),
    (b"<html>" + CANARY.encode(), "it is not JSON"),
    (json.dumps(GOOD).encode()[:-9], "it is not JSON"),
    (b"[]", "no JSON object"),
    (b'{"Token":"' + CANARY.encode() + b'","Token":"b"}', "it is not JSON"),
    (without("AccessKeyId"), "AccessKeyId is missing"),
    (without("SecretAccessKey"), "SecretAccessKey is missing"),
    (without("Token"), "Token is missing"),
    (without(SecretAccessKey=7), "SecretAccessKey is not a text"),
    (without(Token=CANARY + "\r\nEvil: 1"), "holds a blank or a control character"),
    (without(Expiration="soon " + CANARY), "Expiration is not a time"),
    (without(Expiration=-1), "Expiration is not a time"),
]


@pytest.mark.parametrize("case", range(len(BROKEN)))
def test_broken_answers_are_told_without_what_they_hold(job, sources, case):
    body, part = BROKEN[case]
    sources.replies["role"] = Reply(body=body)
    text = job.refused()
    assert part in text and ROLE in text
    near(job, sources)
    sources.replies["container"] = Reply(body=body)
    text = job.refused()
    assert part in text and "the container's credentials endpoint" in text


def test_what_the_metadata_service_says_of_a_failure(job, sources):
    sources.replies["role"] = Reply(body={"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 cannot assume the role"})
    text = job.refused()
    assert "AssumeRoleUnauthorizedAccess: EC2 cannot assume the role" in text
    sources.replies["role"] = Reply(body=without("Expiration"))
    assert "Expiration is missing" in job.refused()
    sources.replies["roles"] = Reply(body=b"../../etc/passwd")
    assert "its list of roles holds no name of a role" in job.refused()
    sources.replies["roles"] = Reply(body=b"x" * 100000)
    assert "larger than allowed" in job.refused()


def test_credentials_that_are_over_are_still_tried(job, sources, fault):
    """The service is the judge: its clock may differ from that of the metadata service."""
    fault.allow("ASIAX", CANARY, CANARY)
    sources.replies["role"] = Reply(body=without(Expiration="2020-01-01T00:00:00Z"))
    assert job.asked() == "ASIAX"


def test_the_instances_region(job, sources):
    job.configure({"dynamodb": {"region": None}})
    done = job.ctl("check")
    assert done.returncode == 0 and "region " + REGION in done.stdout, done.stderr
    assert job.asked() == "ASIAROLE1"
    sources.replies["region"] = Reply(body=b"<html>")
    assert "no AWS region" in job.refused()
    sources.replies["region"] = Reply(hang=True)
    job.environment["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = "1"
    text = job.refused()
    assert "no AWS region" in text and "no answer from" in text and "AWS_REGION" in text
    job.environment["AWS_DEFAULT_REGION"] = REGION
    assert job.asked().startswith("ASIAROLE")


# Containers.


def test_a_containers_endpoint_and_its_token_file(job, sources):
    near(job, sources)
    path = os.path.join(job.dir, "token")
    job.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "ignored"
    job.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = path
    assert "cannot read " + path in job.refused()
    for text, part in ((b"", "is empty"), (b"a\nb", "more than one line"), (b"x" * 70000, "longer than")):
        with open(path, "wb") as out:
            out.write(text)
        assert part in job.refused()
    sources.authorization = "Bearer one"
    with open(path, "w", encoding="utf-8") as out:
        out.write("Bearer one\n")
    assert job.asked() == "ASIACONTAINER1"
    sources.authorization = "Bearer two"
    text = job.refused()
    assert "HTTP 401 (AccessDeniedException: not this token)" in text
    with open(path, "w", encoding="utf-8") as out:
        out.write("Bearer two")
    assert job.asked() == "ASIACONTAINER2"


def test_a_containers_token_in_the_environment(job, sources):
    near(job, sources)
    sources.authorization = "Basic abc"
    job.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "Basic abc"
    assert job.asked() == "ASIACONTAINER1"
    job.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "Basic abc\r\nEvil: 1"
    assert "holds a line end" in job.refused()


def test_a_container_goes_before_the_instance_and_stumbles(job, sources):
    near(job, sources)
    for reply in (Reply(500), Reply(429), Reply(drop=True)):
        sources.replies["container"] = [reply]
        assert job.asked().startswith("ASIACONTAINER")
    assert sources.count("token") == 0


@pytest.mark.parametrize(
    "uri, part",
    [
        ("http://10.1.2.3/x", "without TLS"),
        ("http://169.254.170.2.example/x", "without TLS"),
        ("nonsense", "is not a URL that can be used"),
        ("http://127.0.0.1/a b", "holds a blank"),
    ],
)
def test_a_containers_endpoint_must_be_near(job, uri, part):
    job.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = uri
    text = job.refused()
    assert part in text and "AWS_CONTAINER_CREDENTIALS_FULL_URI" in text
    job.environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "no-slash"
    assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with /" in job.refused()


# Processes.


def process(job, code, profile="default"):
    """A credential_process that runs Python."""
    path = os.path.join(job.dir, "give credentials")
    with open(path, "w", encoding="utf-8") as out:
        out.write("#!%s\nimport sys, os, time, json\n%s\n" % (sys.executable, code))
    os.chmod(path, stat.S_IRWXU)
    section = profile if profile == "default" else "profile " + profile
    job.write_config('[%s]\ncredential_process = "%s" --for \'a b\' c\\ d\n' % (section, path))


def printed(**members):
    whole = {"Version": 1, "AccessKeyId": "ASIAX", "SecretAccessKey": CANARY, "SessionToken": CANARY}
    whole.update(members)
    return "print(%r)" % json.dumps({n: v for n, v in whole.items() if v is not None})


def test_a_process_prints_credentials(job, fault):
    fault.allow("ASIAX", CANARY, CANARY)
    process(job, "assert sys.argv[1:] == ['--for', 'a b', 'c d'], sys.argv\n" + printed())
    assert job.asked() == "ASIAX"
    process(job, printed(Expiration="2999-01-01T00:00:00+02:00"))
    assert job.asked() == "ASIAX"
    fault.allow("ASIAY", CANARY)
    process(job, printed(AccessKeyId="ASIAY", SessionToken=None))
    assert job.asked() == "ASIAY"


@pytest.mark.parametrize(
    "code, part",
    [
        ("sys.exit(3)", "ended with exit code 3"),
        ("print('one\\nno vault today', file=sys.stderr); sys.exit(1)", "code 1: no vault today"),
        ("os.kill(os.getpid(), 9)", "was ended by signal 9"),
        ("pass", "printed what cannot be used: it is not JSON"),
        (printed(Version=2), "Version is not 1"),
        (printed(Version=None), "Version is not 1"),
        (printed(AccessKeyId=None), "AccessKeyId is missing"),
        (printed(Expiration="never"), "Expiration is not a time"),
        ("print('x' * 70000); time.sleep(60)", "wrote more than 64 KiB"),
        ("sys.stdout.write('{' * 60000)", "it is not JSON"),
    ],
)
def test_a_process_that_fails(job, code, part):
    process(job, code)
    text = job.refused()
    assert part in text and "credential_process of profile default" in text


# Roles by STS.


def keys_and_role(job, fault, extra="", source="base"):
    fault.allow("AKIDBASE", "baseSecret")
    job.write_config(
        "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = baseSecret\n"
        "[profile app]\nrole_arn = %s\nsource_profile = %s\n%s\n" % (ROLE_ARN, source, extra)
    )
    job.environment["AWS_PROFILE"] = "app"


def test_a_role_is_assumed_with_the_keys_of_another_profile(job, fault, sources):
    keys_and_role(job, fault, "external_id = a b+c/=&\nrole_session_name = me@here\nduration_seconds = 900")
    assert job.asked() == "ASIASTS1"
    form = sources.seen[-1].form
    assert form["Action"] == "AssumeRole" and form["RoleArn"] == ROLE_ARN
    assert form["ExternalId"] == "a b+c/=&" and form["RoleSessionName"] == "me@here"
    assert form["DurationSeconds"] == "900"
    keys_and_role(job, fault)
    assert job.asked() == "ASIASTS2"
    assert sources.seen[-1].form["RoleSessionName"].startswith("syncd-")
    assert "DurationSeconds" not in sources.seen[-1].form


def test_roles_one_after_the_other(job, fault, sources):
    keys_and_role(job, fault, "[profile middle]\nrole_arn = arn:middle\nsource_profile = base", "middle")
    assert job.asked() == "ASIASTS2"
    calls = [s for s in sources.seen if s.kind == "sts"]
    assert [c.form["RoleArn"] for c in calls] == ["arn:middle", ROLE_ARN]
    assert "Credential=ASIASTS1/" in calls[1].headers["authorization"]


def test_a_profile_that_is_its_own_source(job, fault):
    fault.allow("AKIDSELF", "s")
    job.write_config(
        "[default]\naws_access_key_id = AKIDSELF\naws_secret_access_key = s\n"
        "role_arn = r\nsource_profile = default\n"
    )
    assert job.asked() == "ASIASTS1"


@pytest.mark.parametrize("source", ["Environment", "Ec2InstanceMetadata", "EcsContainer"])
def test_a_role_by_a_credential_source(job, fault, sources, source):
    fault.allow("AKIDENV", "e")
    job.write_config("[profile app]\nrole_arn = %s\ncredential_source = %s\n" % (ROLE_ARN, source))
    job.configure({"dynamodb": {"profile": "app"}})
    job.environment.update(AWS_ACCESS_KEY_ID="AKIDENV", AWS_SECRET_ACCESS_KEY="e")
    near(job, sources)
    assert job.asked() == "ASIASTS1"
    signer = {"Environment": "AKIDENV", "Ec2InstanceMetadata": "ASIAROLE1"}
    call = next(s for s in sources.seen if s.kind == "sts")
    assert signer.get(source, "ASIACONTAINER1") in call.headers["authorization"]


def test_a_role_after_a_process(job, fault):
    fault.allow("ASIAX", CANARY, CANARY)
    process(job, printed(), "base")
    with open(job.environment["AWS_CONFIG_FILE"], "a", encoding="utf-8") as out:
        out.write("[default]\nrole_arn = r\nsource_profile = base\n")
    assert job.asked() == "ASIASTS1"


def test_sts_says_no(job, fault, sources):
    keys_and_role(job, fault)
    sources.replies["sts"] = Reply(403, Sources.sts_error("AccessDenied", "not authorized to perform: sts:AssumeRole"))
    text = job.refused()
    assert ROLE_ARN in text and "AccessDenied: not authorized to perform: sts:AssumeRole" in text
    assert sources.count("sts") == 1
    for reply, part in (
        (Reply(body=b"<AssumeRoleResponse>" + CANARY.encode()), "it is not JSON"),
        (Reply(body={"AssumeRoleResponse": {"AssumeRoleResult": {}}}), "it holds no Credentials"),
        (Reply(400, b"<ErrorResponse/>"), "answers HTTP 400"),
    ):
        sources.replies["sts"] = reply
        assert part in job.refused()


def test_sts_stumbles(job, fault, sources):
    keys_and_role(job, fault)
    for reply in (
        Reply(500),
        Reply(drop=True),
        Reply(400, Sources.sts_error("Throttling", "Rate exceeded")),
        Reply(400, Sources.sts_error("IDPCommunicationError", "try again")),
    ):
        sources.replies["sts"] = [reply]
        assert job.asked().startswith("ASIASTS")


@pytest.mark.parametrize("minutes", [20, -20])
def test_sts_of_another_time(job, fault, sources, minutes):
    keys_and_role(job, fault)
    fault.verifier.clock_offset = sources.verifier.clock_offset = minutes * 60
    assert job.asked() == "ASIASTS1"
    assert sources.count("sts") == 2


def test_a_web_identity_token_file_is_read_anew(job, sources):
    path = os.path.join(job.dir, "web-token")
    job.environment.update(AWS_WEB_IDENTITY_TOKEN_FILE=path)
    assert "AWS_ROLE_ARN is not" in job.refused()
    job.environment.update(AWS_ROLE_ARN=ROLE_ARN, AWS_ROLE_SESSION_NAME="pod")
    assert "cannot read " + path in job.refused()
    for token in ("eyJone.two-_", "eyJother"):
        sources.web_identities = {token}
        with open(path, "w", encoding="utf-8") as out:
            out.write(token + "\n")
        assert job.asked().startswith("ASIASTS")
    form = sources.seen[-1].form
    assert form["RoleSessionName"] == "pod" and form["WebIdentityToken"] == "eyJother"
    sources.web_identities = set()
    assert "InvalidIdentityToken: No such token" in job.refused()
    job.write_config(
        "[profile web]\nrole_arn = arn:web\nweb_identity_token_file = %s\n" % path
    )
    job.environment["AWS_PROFILE"] = "web"
    sources.web_identities = {"eyJother"}
    assert job.asked().startswith("ASIASTS")
    assert sources.seen[-1].form["RoleArn"] == "arn:web"
