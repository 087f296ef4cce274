"""Verifies AWS Signature Version 4 of one HTTP request, strictly, as DynamoDB's front end does.

Stricter than most stand-ins: the headers that matter must be signed, every header named as signed
must be there, the session token must be signed when it is sent, and the date must be near.
"""

import calendar
import hashlib
import hmac
import re
import time

from dynamodb_rules import Refused

CORAL = "com.amazon.coral.service#"
MUST_BE_SIGNED = ("content-type", "host", "x-amz-date", "x-amz-target")
WINDOW = 300
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<credential>[^, ]+), *"
    r"SignedHeaders=(?P<signed>[^, ]+), *Signature=(?P<signature>[0-9a-f]{64})\Z"
)


def _refuse(code, message, breach=True):
    return Refused(CORAL + code, message, breach=breach)


def _hmac(key, text):
    return hmac.new(key, text.encode("utf-8"), hashlib.sha256).digest()


class Verifier:
    """credentials: {access key id: (secret, session token or None)}, changed freely by a test.
    expired: access key ids whose token has run out. ends: {access key id: Unix seconds at which it
    does}. clock_offset: seconds the service's clock is ahead of this machine's. `service` is the one
    whose name must be signed, with the headers in `must`."""

    def __init__(self, credentials, service="dynamodb", must=MUST_BE_SIGNED):
        self.credentials = dict(credentials)
        self.service, self.must = service, must
        self.expired = set()
        self.ends = {}
        self.clock_offset = 0
        self._keys = {}

    def now(self):
        return time.time() + self.clock_offset

    def verify(self, method, path, headers, body):
        """The access key id of a well-signed request; Refused otherwise. `headers` maps lower-case
        names to values."""
        if "authorization" not in headers:
            raise _refuse(
                "MissingAuthenticationTokenException", "Request is missing Authentication Token"
            )
        match = AUTHORIZATION.match(headers["authorization"])
        if not match:
            raise _refuse("IncompleteSignatureException", "Authorization header is malformed")
        scope = match["credential"].split("/")
        if len(scope) != 5 or scope[3:] != [self.service, "aws4_request"] or not scope[2]:
            raise _refuse(
                "InvalidSignatureException",
                "Credential should be scoped to correct service: '%s'." % self.service,
            )
        signed = match["signed"].split(";")
        self._check_signed(signed, headers)
        self._check_date(headers["x-amz-date"], scope[1])
        secret = self._secret(scope[0], headers.get("x-amz-security-token"))
        expected = self._signature(method, path, headers, signed, body, scope, secret)
        if not hmac.compare_digest(expected, match["signature"]):
            raise _refuse(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check "
                "your AWS Secret Access Key and signing method.",
            )
        return scope[0]

    def _check_signed(self, signed, headers):
        if signed != sorted(set(signed)):
            raise _refuse("IncompleteSignatureException", "SignedHeaders are not sorted and unique")
        need = list(self.must)
        if "x-amz-security-token" in headers:
            need.append("x-amz-security-token")
        for name in need:
            if name not in signed:
                raise _refuse("IncompleteSignatureException", "'%s' must be a signed header" % name)
        for name in signed:
            if name not in headers:
                raise _refuse(
                    "IncompleteSignatureException", "signed header '%s' was not sent" % name
                )

    def _check_date(self, stamp, day):
        if not re.match(r"\d{8}T\d{6}Z\Z", stamp) or not stamp.startswith(day + "T"):
            raise _refuse(
                "IncompleteSignatureException", "Date in Credential scope does not match X-Amz-Date"
            )
        then = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
        now = self.now()
        text = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        if then < now - WINDOW:
            message = "Signature expired: %s is now earlier than %s" % (stamp, text)
            raise _refuse("InvalidSignatureException", message, breach=False)
        if then > now + WINDOW:
            message = "Signature not yet current: %s is still later than %s" % (stamp, text)
            raise _refuse("InvalidSignatureException", message, breach=False)

    def _secret(self, access_key, token):
        if access_key in self.expired or self.now() >= self.ends.get(access_key, float("inf")):
            raise _refuse(
                "ExpiredTokenException",
                "The security token included in the request is expired",
                False,
            )
        secret, expected = self.credentials.get(access_key, (None, None))
        if secret is None or token != expected:
            raise _refuse(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                False,
            )
        return secret

    def _signature(self, method, path, headers, signed, body, scope, secret):
        lines = [method, path, ""]
        lines += ["%s:%s" % (n, re.sub(r"[ \t]+", " ", headers[n].strip())) for n in signed]
        lines += ["", ";".join(signed), hashlib.sha256(body).hexdigest()]
        canonical = "\n".join(lines).encode("latin-1")
        to_sign = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                headers["x-amz-date"],
                "/".join(scope[1:]),
                hashlib.sha256(canonical).hexdigest(),
            ]
        )
        return _hmac(self._key(secret, scope), to_sign).hex()

    def _key(self, secret, scope):
        which = (secret, scope[1], scope[2])
        if which not in self._keys:
            key = ("AWS4" + secret).encode("utf-8")
            for part in scope[1:]:
                key = _hmac(key, part)
            self._keys[which] = key
        return self._keys[which]
