"""The fault server's control plane beside CreateTable: indexes, TTL, tags, protection, backups.

A part of Tables (fault_tables.py), whose lock and tables it uses. What takes time at AWS takes none
here, but for backups of a new table, which are "unavailable" the first `backups_unavailable` times.
"""

import dynamodb_rules as rules
from dynamodb_rules import Refused, SERVICE, invalid


def check_indexes(call, capacity_wanted):
    for index in call.get("GlobalSecondaryIndexes", []):
        if not rules.TABLE_NAME.match(index.get("IndexName", "")):
            raise invalid("Invalid table/index name")
        kind = index.get("Projection", {}).get("ProjectionType")
        if kind not in ("ALL", "KEYS_ONLY", "INCLUDE"):
            raise invalid("Unknown ProjectionType: %r" % kind)
        if (kind == "INCLUDE") != bool(index["Projection"].get("NonKeyAttributes")):
            raise invalid("NonKeyAttributes go with INCLUDE")
        if [k["KeyType"] for k in index["KeySchema"]] not in (["HASH"], ["HASH", "RANGE"]):
            raise invalid("Invalid KeySchema of an index")
        if ("ProvisionedThroughput" in index) != capacity_wanted:
            raise invalid("ProvisionedThroughput of an index goes with that of its table")


def described_indexes(indexes):
    return [dict(i, IndexStatus="ACTIVE", ItemCount=0, IndexSizeBytes=0) for i in indexes]


def check_index_keys(table, item):
    """A write whose attribute is an index's key, and of another type or empty, is refused."""
    kinds = {d["AttributeName"]: d["AttributeType"] for d in table.description["AttributeDefinitions"]}
    for index in table.description.get("GlobalSecondaryIndexes", []):
        for part in index["KeySchema"]:
            name = part["AttributeName"]
            if name not in item:
                continue
            ((kind, value),) = item[name].items()
            if kind != kinds[name]:
                raise invalid(
                    "Type mismatch for Index Key %s Expected: %s Actual: %s" % (name, kinds[name], kind)
                )
            if value == "":
                raise invalid("Secondary index key %s is empty" % name)
            size = rules.check_value(item[name])[1]
            if kind != "N" and size > rules.KEY_BYTES[part["KeyType"]]:
                raise invalid("Secondary index key %s is too long" % name)


class ControlPlane:
    backups_unavailable = 0

    def _by_arn(self, call):
        return self.get(call.get("ResourceArn", "").rsplit("/", 1)[-1])

    def update_table(self, call):
        with self.lock:
            table = self.get(call.get("TableName"))
            d = table.description
            changes = call.get("GlobalSecondaryIndexUpdates", [])
            if len(changes) > 1:
                raise invalid("Only 1 online index can be created or deleted simultaneously")
            if "DeletionProtectionEnabled" in call:
                d["DeletionProtectionEnabled"] = call["DeletionProtectionEnabled"]
            for change in changes:
                index = change["Create"]
                have = d.setdefault("GlobalSecondaryIndexes", [])
                if any(i["IndexName"] == index["IndexName"] for i in have):
                    raise invalid("Attempting to create an index which already exists")
                provisioned = d["BillingModeSummary"]["BillingMode"] == "PROVISIONED"
                check_indexes({"GlobalSecondaryIndexes": [index]}, provisioned)
                known = {a["AttributeName"] for a in d["AttributeDefinitions"]}
                d["AttributeDefinitions"] = d["AttributeDefinitions"] + [
                    a for a in call.get("AttributeDefinitions", []) if a["AttributeName"] not in known
                ]
                have.extend(described_indexes([index]))
            return {"TableDescription": table.describe()}

    def describe_time_to_live(self, call):
        with self.lock:
            name = self.get(call.get("TableName")).ttl
        if name is None:
            return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": name}}

    def update_time_to_live(self, call):
        wanted = call["TimeToLiveSpecification"]
        with self.lock:
            table = self.get(call.get("TableName"))
            if not table.active():
                raise Refused(SERVICE + "ResourceInUseException", "the table is being created")
            if wanted["Enabled"] and table.ttl is not None:
                raise invalid("TimeToLive is already enabled")
            table.ttl = wanted["AttributeName"] if wanted["Enabled"] else None
        return {"TimeToLiveSpecification": wanted}

    def describe_continuous_backups(self, call):
        with self.lock:
            on = self.get(call.get("TableName")).recovery
        return {
            "ContinuousBackupsDescription": {
                "ContinuousBackupsStatus": "ENABLED",
                "PointInTimeRecoveryDescription": {
                    "PointInTimeRecoveryStatus": "ENABLED" if on else "DISABLED"
                },
            }
        }

    def update_continuous_backups(self, call):
        wanted = call["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        with self.lock:
            table = self.get(call.get("TableName"))
            if self.backups_unavailable:
                self.backups_unavailable -= 1
                raise Refused(
                    SERVICE + "ContinuousBackupsUnavailableException",
                    "Backups are being enabled for the table: %s. Please retry later" % table.name,
                )
            table.recovery = wanted
        return self.describe_continuous_backups(call)

    def list_tags_of_resource(self, call):
        """Two a page, so that paging is played."""
        with self.lock:
            tags = sorted(self._by_arn(call).tags.items())
        start = int(call.get("NextToken", "0"))
        out = {"Tags": [{"Key": k, "Value": v} for k, v in tags[start : start + 2]]}
        if start + 2 < len(tags):
            out["NextToken"] = str(start + 2)
        return out

    def tag_resource(self, call):
        with self.lock:
            self._by_arn(call).tags.update({t["Key"]: t["Value"] for t in call["Tags"]})
        return {}

    def deletable(self, table):
        if table.description.get("DeletionProtectionEnabled"):
            raise Refused(
                rules.VALIDATION,
                "Resource cannot be deleted as it is currently protected against deletion. "
                "Disable deletion protection first.",
            )
