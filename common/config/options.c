#include "config/options.h"

#include <string.h>

#include "base/text.h"
#include "config/config.h"
#include "config/option_checks.h"

/* Offset of a field, refused by the compiler when its type is not the one the option writes. */
#define AT(s, f, t)                                                                                \
    (offsetof(s, f) +                                                                              \
     0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((s *)0)->f), t) ? 1 : -1]))

#define STRING(s, f)       .type = OPTION_STRING, .offset = AT(s, f, char *)
#define BOOL(s, f)         .type = OPTION_BOOL, .offset = AT(s, f, bool)
#define INT(s, f, lo, hi)  .type = OPTION_INT, .offset = AT(s, f, int64_t), .min = lo, .max = hi
#define TIME(s, f, lo, hi) .type = OPTION_DURATION, .offset = AT(s, f, usec), .min = lo, .max = hi
#define PERCENT(s, f)      .type = OPTION_PERCENT, .offset = AT(s, f, int64_t), .max = 100
#define ENUM(s, f, n)      .type = OPTION_ENUM, .offset = AT(s, f, int), .names = n
#define LIST(s, f)         .type = OPTION_LIST, .offset = AT(s, f, struct strlist)
#define PAIRS(s, f)        .type = OPTION_PAIRS, .offset = AT(s, f, struct pairlist)
#define CONFIG             struct config
#define TABLE              struct table_config
#define EXPORT             struct export_config

#define MSEC   USEC_PER_MSEC
#define SEC    USEC_PER_SEC
#define MINUTE (60 * USEC_PER_SEC)
#define DAY    (24 * 60 * MINUTE)

static const char *const billing_names[] = {"PAY_PER_REQUEST", "PROVISIONED", NULL};
static const char *const http_client_names[] = {"own", "libcurl", NULL};
static const char *const null_names[] = {"omit", "null", NULL};
static const char *const drop_names[] = {"keep", "delete", NULL};
static const char *const oversize_names[] = {"dead-letter", "compress", "split", NULL};
static const char *const orphan_names[] = {"report", "skip", "dead-letter", NULL};
static const char *const own_orphan_names[] = {"default", "report", "skip", "dead-letter", NULL};
static const char *const level_names[] = {"error", "warning", "info", "debug", NULL};
static const char *const format_names[] = {"auto", "journal", "text", "json", NULL};

/* Names are written in the order of the enums that they stand for. */
_Static_assert(BILLING_PAY_PER_REQUEST == 0 && BILLING_PROVISIONED == 1, "billing_names");
_Static_assert(HTTP_CLIENT_OWN == 0 && HTTP_CLIENT_LIBCURL == 1, "http_client_names");
_Static_assert(NULL_OMIT == 0 && NULL_WRITE == 1, "null_names");
_Static_assert(ORPHANS_REPORT == 0 && ORPHANS_SKIP == 1 && ORPHANS_SET_ASIDE == 2, "orphan_names");
_Static_assert(LOG_EV_ERROR == 0 && LOG_EV_WARNING == 1 && LOG_EV_INFO == 2 && LOG_EV_DEBUG == 3,
               "level_names");
_Static_assert(LOG_AUTO == 0 && LOG_JOURNAL == 1 && LOG_TEXT == 2 && LOG_JSON == 3, "format_names");

const struct option_section config_sections[] = {
    {"source", NULL, "The SQLite database to mirror, and which of its tables and columns."},
    {"dynamodb", NULL, "Where the rows go, and what they may cost."},
    {"sync", NULL, "How changes travel. The defaults suit most machines."},
    {"state", NULL,
     "The daemon's own file: what DynamoDB holds, dead letters, progress. Losing it loses no row,\n"
     "but costs a comparison with DynamoDB."},
    {"price", NULL,
     "What `syncctl migrate` reckons with. These are the public prices of us-east-1 at the date\n"
     "below, before taxes, discounts and free tiers; keeping them current for your region and\n"
     "contract is up to you: https://aws.amazon.com/dynamodb/pricing/"},
    {"control", NULL, "The socket on which syncctl and monitors ask."},
    {"log", NULL, "What the daemon tells, and in which form."},
    {"table", "chat_messages",
     "One section for each table that needs something of its own; tables without one take the\n"
     "rules above. The name in quotes is the SQLite table's; \\\" and \\\\ escape inside."},
    {"export", "conversations",
     "Tables of `syncctl export`, which takes items out of any DynamoDB table into PostgreSQL or\n"
     "files; the daemon has nothing to do with them. The name in quotes is the table in "
     "PostgreSQL\n"
     "(schema.table, where it is in a schema of its own)."},
    {NULL, NULL, NULL},
};

/* clang-format off */
const struct config_option config_options[] = {
    {.section = "source", .key = "database", STRING(CONFIG, database), .check = option_check_path,
     .example = "/var/lib/app/app.db",
     .help = "Absolute path of the SQLite database. Required."},
    {.section = "source", .key = "tables", .remaps = true, LIST(CONFIG, tables), .initial = "*",
     .help = "Tables to mirror: names, or globs with * and ?. SQLite's own, virtual tables and\n"
             "those named _syncd_... are never mirrored."},
    {.section = "source", .key = "exclude_tables", .remaps = true, LIST(CONFIG, exclude_tables),
     .help = "Tables to leave out, such as: django_migrations, tmp_*"},
    {.section = "source", .key = "exclude_columns", .remaps = true, LIST(CONFIG, exclude_columns),
     .check = option_check_table_column,
     .help = "Columns to leave out as TABLE.COLUMN, such as: *.password_hash, user.token"},
    {.section = "source", .key = "source_id", .remaps = true, STRING(CONFIG, source_id),
     .check = option_check_source_id, .example = "edge-17",
     .help = "What {source_id} stands for in keys, so that many machines can share a DynamoDB table,\n"
             "such as ${HOSTNAME}. Letters, digits, _ . and -."},
    {.section = "source", .key = "orphans", .remaps = true, ENUM(CONFIG, orphans, orphan_names),
     .initial = "report",
     .help = "What becomes of a row whose FOREIGN KEY names a row that is not there: report sends it\n"
             "like any other (`syncctl migrate` tells of it), skip leaves it out and counts it,\n"
             "dead-letter makes it a dead letter. It goes by itself when the other row comes."},

    {.section = "dynamodb", .key = "region", STRING(CONFIG, region),
     .help = "AWS region, such as us-west-2. Empty: AWS_REGION, AWS_DEFAULT_REGION, the profile's\n"
             "or the EC2 instance's own."},
    {.section = "dynamodb", .key = "endpoint_url", STRING(CONFIG, endpoint_url),
     .help = "Another endpoint than the region's own, such as http://127.0.0.1:8000 for DynamoDB\n"
             "Local. Empty: AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL or the region's."},
    {.section = "dynamodb", .key = "allow_plain_http", BOOL(CONFIG, allow_plain_http),
     .initial = "no",
     .help = "Allow http (no TLS) to another host than this machine, as in a container network.\n"
             "Never allowed to AWS's own hosts."},
    {.section = "dynamodb", .key = "profile", STRING(CONFIG, profile),
     .help = "Profile in the shared AWS files; it goes before keys in the environment. Empty:\n"
             "AWS_PROFILE, else \"default\"."},
    {.section = "dynamodb", .key = "credentials_file", STRING(CONFIG, credentials_file),
     .check = option_check_path,
     .help = "Shared credentials file. Empty: aws-credentials of systemd's LoadCredential=, else\n"
             "AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials."},
    {.section = "dynamodb", .key = "table_name", .remaps = true, STRING(CONFIG, table_name), .initial = "{table}",
     .check = option_check_table_name,
     .help = "Name of the DynamoDB table. For the SQLite table user_books, {table} is user_books,\n"
             "{Table} is UserBooks and {table-kebab} is user-books. Text may stand around it, as\n"
             "in app-{table-kebab} or BookLibrary-{Table}-${ENVIRONMENT}. For other spellings see\n"
             "target in the section of a table."},
    {.section = "dynamodb", .key = "meta_table", STRING(CONFIG, meta_table),
     .initial = "syncd-meta", .check = option_check_target,
     .help = "DynamoDB table for what is syncd's own: the schema and the canary's item. Its key is\n"
             "id (S), kind (S). Several daemons may share it."},
    {.section = "dynamodb", .key = "keep_schema", BOOL(CONFIG, keep_schema), .initial = "yes",
     .help = "Keep the database's schema and the mapping in meta_table, where `syncctl restore`\n"
             "finds them. no: what is in DynamoDB cannot be made a database again by itself."},
    {.section = "dynamodb", .key = "create_tables", BOOL(CONFIG, create_tables), .initial = "no",
     .help = "Create DynamoDB tables that do not exist."},
    {.section = "dynamodb", .key = "billing_mode", ENUM(CONFIG, billing_mode, billing_names),
     .initial = "PAY_PER_REQUEST",
     .help = "How tables are billed that are created here: PAY_PER_REQUEST, or PROVISIONED with\n"
             "the capacities below."},
    {.section = "dynamodb", .key = "read_capacity", INT(CONFIG, read_capacity, 1, 1000000000),
     .initial = "5", .help = "Read capacity units of a table that is created PROVISIONED."},
    {.section = "dynamodb", .key = "write_capacity", INT(CONFIG, write_capacity, 1, 1000000000),
     .initial = "5", .help = "Write capacity units of a table that is created PROVISIONED."},
    {.section = "dynamodb", .key = "tag", PAIRS(CONFIG, tag), .check_pair = option_check_tag,
     .exact = true, .example = "tag.team = books",
     .help = "Tags of the tables that are created; one line a tag."},
    {.section = "dynamodb", .key = "deletion_protection", BOOL(CONFIG, deletion_protection),
     .initial = "no", .help = "Tables that are created cannot be deleted until this is switched off there."},
    {.section = "dynamodb", .key = "point_in_time_recovery", BOOL(CONFIG, point_in_time_recovery),
     .initial = "no",
     .help = "DynamoDB's continuous backups for the tables that are created (they cost extra)."},
    {.section = "dynamodb", .key = "max_requests_in_flight",
     INT(CONFIG, max_requests_in_flight, 1, 64), .initial = "8", .reloadable = true,
     .help = "How many requests, of up to 25 items each, may be under way at once (1 to 64)."},
    {.section = "dynamodb", .key = "batch_size", INT(CONFIG, batch_size, 1, 25), .initial = "25",
     .reloadable = true,
     .help = "How many items a request holds at most (1 to 25, DynamoDB's limit)."},
    {.section = "dynamodb", .key = "write_units_per_second",
     INT(CONFIG, write_units_per_second, 0, 1000000000), .initial = "0", .reloadable = true,
     .help = "Budget over all tables, in write units a second. 0: none."},
    {.section = "dynamodb", .key = "ca_file", STRING(CONFIG, ca_file), .check = option_check_path,
     .help = "Certificates to trust (PEM). Empty: AWS_CA_BUNDLE, else the system's."},
    {.section = "dynamodb", .key = "http_client", ENUM(CONFIG, http_client, http_client_names),
     .initial = "own",
     .help = "What carries requests to DynamoDB: own, which takes the least processor time, or\n"
             "libcurl, which takes them in any case where the environment names a proxy."},

    {.section = "sync", .key = "linger", TIME(CONFIG, linger, 0, 10 * SEC), .initial = "5ms",
     .reloadable = true,
     .help = "Under load, wait this long for a fuller request. Durations are a number and one of\n"
             "us, ms, s, m, h, d."},
    {.section = "sync", .key = "backoff_base", TIME(CONFIG, backoff_base, MSEC, MINUTE),
     .initial = "25ms", .reloadable = true,
     .help = "First pause before a request is repeated; it grows, with jitter, to backoff_max."},
    {.section = "sync", .key = "backoff_max", TIME(CONFIG, backoff_max, MSEC, 60 * MINUTE),
     .initial = "20s", .reloadable = true,
     .help = "Longest such pause. Sending is never given up."},
    {.section = "sync", .key = "request_timeout",
     TIME(CONFIG, request_timeout, 100 * MSEC, 5 * MINUTE), .initial = "10s", .reloadable = true,
     .help = "A request without an answer for this long counts as uncertain and is repeated."},
    {.section = "sync", .key = "unconfirmed_horizon",
     TIME(CONFIG, unconfirmed_horizon, SEC, 60 * MINUTE), .initial = "16m", .reloadable = true,
     .help = "A write without a certain answer may still be carried out this long after it was sent\n"
             "(DynamoDB admits a request for 15 minutes): its item is unconfirmed until then, and is\n"
             "then sent again."},
    {.section = "sync", .key = "journal_limit",
     INT(CONFIG, journal_limit, 1000, 1000000000000), .initial = "100000000", .reloadable = true,
     .help = "Changes that the journal may hold while DynamoDB is away. Past it the oldest go,\n"
             "and their tables are compared instead."},
    {.section = "sync", .key = "hold_deletes", PERCENT(CONFIG, hold_deletes), .initial = "5%",
     .reloadable = true,
     .help = "A comparison that would delete more than this share of a table's items waits for\n"
             "`syncctl approve`. 100%: never wait."},
    {.section = "sync", .key = "lag_warning", TIME(CONFIG, lag_warning, SEC, 30 * DAY),
     .initial = "60s", .reloadable = true,
     .help = "Health is \"warning\" once the oldest pending change is older than this."},
    {.section = "sync", .key = "lag_critical", TIME(CONFIG, lag_critical, SEC, 30 * DAY),
     .initial = "10m", .reloadable = true,
     .help = "Health is \"critical\" once the oldest pending change is older than this, or changes wait\n"
             "and nothing at all moves for three quarters of it (at most 45 s)."},
    {.section = "sync", .key = "canary", TIME(CONFIG, canary, 0, 60 * MINUTE), .initial = "0s",
     .check = option_check_canary,
     .help = "Such as 60s: a row of syncd's own (table _syncd_canary) goes through trigger, journal\n"
             "and meta_table and is read back, every third of this; health is \"critical\" when none\n"
             "has come back for this long. 0s: none."},

    {.section = "state", .key = "path", STRING(CONFIG, state_path), .check = option_check_path,
     .help = "Absolute path of that file. Empty: NAME.db in the directory that systemd gives\n"
             "($STATE_DIRECTORY), else .DATABASE-syncd.db beside the database."},

    {.section = "price", .key = "currency", STRING(CONFIG, price_currency), .initial = "USD",
     .reloadable = true, .help = "Of all prices here."},
    {.section = "price", .key = "as_of", STRING(CONFIG, price_as_of), .initial = "2024-11-01",
     .reloadable = true, .help = "When these prices were looked up; shown beside each estimate."},
    {.section = "price", .key = "write_million", STRING(CONFIG, price_write_million),
     .initial = "0.625", .reloadable = true, .check = option_check_price,
     .help = "A million write units of tables billed PAY_PER_REQUEST."},
    {.section = "price", .key = "read_million", STRING(CONFIG, price_read_million),
     .initial = "0.125", .reloadable = true, .check = option_check_price,
     .help = "A million read units of tables billed PAY_PER_REQUEST."},
    {.section = "price", .key = "write_unit_hour", STRING(CONFIG, price_write_unit_hour),
     .initial = "0.00065", .reloadable = true, .check = option_check_price,
     .help = "A write unit of PROVISIONED capacity for an hour."},
    {.section = "price", .key = "storage_gb_month", STRING(CONFIG, price_storage_gb_month),
     .initial = "0.25", .reloadable = true, .check = option_check_price,
     .help = "A gigabyte stored for a month."},

    {.section = "control", .key = "socket", STRING(CONFIG, socket), .check = option_check_socket,
     .example = "/run/syncd/syncd.sock",
     .help = "Absolute path. Empty: syncd.sock in the directory that systemd gives\n"
             "($RUNTIME_DIRECTORY), else the path shown here, or /run/syncd/NAME/syncd.sock for\n"
             "NAME.conf."},
    {.section = "control", .key = "socket_group", STRING(CONFIG, socket_group),
     .help = "Group whose members may ask. Empty: syncd, where the daemon belongs to it (as by the\n"
             "units), else the daemon's own group."},
    {.section = "control", .key = "operator_group", STRING(CONFIG, operator_group),
     .help = "Group whose members may also wait, detach, attach and resync; they must be able to\n"
             "reach the socket besides. Empty: nobody but root and the daemon's own user."},
    {.section = "control", .key = "heartbeat_url", STRING(CONFIG, heartbeat_url),
     .check = option_check_heartbeat,
     .help = "Such as https://example.org/ping/app: asked for (GET) every heartbeat_interval while\n"
             "health is \"ok\", so that somebody else notices silence. https, or http to this machine.\n"
             "Empty: none."},
    {.section = "control", .key = "heartbeat_interval",
     TIME(CONFIG, heartbeat_interval, SEC, DAY), .initial = "60s", .reloadable = true,
     .help = "How often."},
    {.section = "control", .key = "listen", STRING(CONFIG, listen), .check = option_check_listen,
     .example = "127.0.0.1:9847",
     .help = "Address of the loopback with a port, where anybody on this machine may read\n"
             "/v1/health, /v1/status and /metrics over HTTP, as Prometheus does. Empty: none."},

    {.section = "log", .key = "level", ENUM(CONFIG, log_level, level_names), .initial = "info",
     .reloadable = true, .help = "error, warning, info or debug."},
    {.section = "log", .key = "format", ENUM(CONFIG, log_format, format_names), .initial = "auto",
     .reloadable = true,
     .help = "journal, text or json; auto is journal under systemd and text elsewhere."},
    {.section = "log", .key = "emf_interval", TIME(CONFIG, emf_interval, 0, DAY), .initial = "0s",
     .reloadable = true,
     .help = "Every so often a line with the most important numbers in CloudWatch's embedded\n"
             "metric format, such as 60s. 0s: none. Meant for format = json and CloudWatch's agent."},
    {.section = "log", .key = "emf_namespace", STRING(CONFIG, emf_namespace), .initial = "syncd",
     .reloadable = true, .check = option_check_namespace,
     .help = "CloudWatch namespace of those metrics (A-Z a-z 0-9 _ . - / #)."},

    {.section = "table", .key = "enabled", .remaps = true, BOOL(TABLE, enabled), .initial = "yes",
     .help = "no: this table is not mirrored."},
    {.section = "table", .key = "target", .remaps = true, STRING(TABLE, target), .check = option_check_target,
     .example = "app-chat-messages", .help = "The DynamoDB table. Empty: as table_name says."},
    {.section = "table", .key = "partition_key", .remaps = true, STRING(TABLE, partition_key),
     .example = "USER#{user_id}",
     .help = "What becomes the partition key: a column, or a template with columns in braces.\n"
             "Empty: the table's primary key decides."},
    {.section = "table", .key = "sort_key", .remaps = true, STRING(TABLE, sort_key),
     .example = "MSG#{created_at}#{id}",
     .help = "The same for the sort key, or a constant in capitals, such as PROFILE."},
    {.section = "table", .key = "partition_key_name", .remaps = true, STRING(TABLE, partition_key_name),
     .example = "pk", .help = "Attribute that holds the partition key when it is a template."},
    {.section = "table", .key = "sort_key_name", .remaps = true, STRING(TABLE, sort_key_name), .example = "sk",
     .help = "Attribute that holds the sort key when it is a template."},
    {.section = "table", .key = "exclude", .remaps = true, LIST(TABLE, exclude), .example = "internal_notes, draft",
     .help = "Columns of this table to leave out."},
    {.section = "table", .key = "rename", .remaps = true, PAIRS(TABLE, rename),
     .example = "rename.created_at = createdAt",
     .help = "Another attribute name for a column; one line a column."},
    {.section = "table", .key = "convert", .remaps = true, PAIRS(TABLE, convert), .check = option_check_convert,
     .example = "convert.created_at = timestamp",
     .help = "What a column's values become; one line a column: bool, timestamp, epoch (both also\n"
             "with the form of the values: (unix), (ms), (julian) or (text)), json, string, number,\n"
             "uuid5(NAMESPACE:NAME) or binary. A value that cannot be converted makes its row a dead\n"
             "letter."},
    {.section = "table", .key = "default", .remaps = true, PAIRS(TABLE, defaults),
     .example = "default.genre = Unknown",
     .help = "What stands for NULL in a column, before it is converted; one line a column."},
    {.section = "table", .key = "null", .remaps = true, ENUM(TABLE, null_policy, null_names), .initial = "omit",
     .help = "What becomes of NULL: omit leaves the attribute out, null writes DynamoDB's NULL."},
    {.section = "table", .key = "ttl_column", .remaps = true, STRING(TABLE, ttl_column), .example = "expires_at",
     .help = "Column whose attribute is when the item may go (DynamoDB's TTL): whole Unix seconds, by\n"
             "convert.COLUMN = epoch, which it has without a line of its own."},
    {.section = "table", .key = "add", .remaps = true, PAIRS(TABLE, add), .example = "add.isPublicKey = {is_public}",
     .help = "One more attribute: a column's value once more (of bool and json as SQLite has it), a\n"
             "constant, or a template with columns in braces; one line an attribute."},
    {.section = "table", .key = "keep_key", .remaps = true, BOOL(TABLE, keep_key), .initial = "no",
     .help = "yes: what uuid5 makes a UUID of is kept as one more attribute, _key_ATTRIBUTE, so that\n"
             "the row can be given back."},
    {.section = "table", .key = "index", PAIRS(TABLE, index), .check_pair = option_check_index,
     .exact = true, .remaps = true, .example = "index.user-created = user_id, created_at : KEYS_ONLY",
     .help = "A global secondary index, by name: partition key[, sort key] [: projection]. Keys are\n"
             "columns or attributes; the projection is ALL (when not said), KEYS_ONLY, or INCLUDE and\n"
             "attributes, as in: user_id : INCLUDE title, body. A row whose key column is NULL is not\n"
             "in the index. `syncctl create-tables` makes it."},
    {.section = "table", .key = "oversize", ENUM(TABLE, oversize, oversize_names),
     .initial = "dead-letter",
     .help = "What becomes of a row whose item is larger than the 400 KB that DynamoDB takes, up to\n"
             "16 MiB: dead-letter sets it aside, compress compresses its attributes (zstd) into one,\n"
             "split also cuts that into several items where it is still too large; the table needs\n"
             "a sort key of type S or B for that."},
    {.section = "table", .key = "orphans", .remaps = true,
     ENUM(TABLE, orphans, own_orphan_names), .initial = "default",
     .help = "The same as orphans of [source], for this table: report, skip or dead-letter."},
    {.section = "table", .key = "on_drop", ENUM(TABLE, on_drop, drop_names), .initial = "keep",
     .reloadable = true,
     .help = "What becomes of the items when the table has been dropped for a minute: keep leaves\n"
             "them, delete deletes them. A table renamed to a name with another target counts as\n"
             "dropped."},

    {.section = "export", .key = "from", .reloadable = true, STRING(EXPORT, from),
     .check = option_check_target, .example = "ConversationTable",
     .help = "The DynamoDB table whose items it is made of, ours or not. Required. Several sections\n"
             "may name the same: each takes the items that its patterns match."},
    {.section = "export", .key = "match", .reloadable = true, PAIRS(EXPORT, match),
     .check_pair = option_check_match, .exact = true, .example = "match.sk = CONV#{id:uuid}",
     .help = "The items that it takes: those whose attribute is what the pattern says; one line an\n"
             "attribute, and all must match; without any, every item. Text stands for itself, {NAME}\n"
             "for one character or more up to the text that follows, without #, and {NAME:TYPE} for\n"
             "one that is a uuid, an integer, a number, or the rest (# too). An item that begins as\n"
             "the pattern does and goes on otherwise is reported."},
    {.section = "export", .key = "column", .reloadable = true, PAIRS(EXPORT, columns),
     .check_pair = option_check_column, .exact = true,
     .example = "column.id = uuid primary key",
     .help = "A column: [ATTRIBUTE] TYPE [required] [primary key] [unique] [default VALUE]\n"
             "[references TABLE(COLUMN)], such as userId varchar(255) required. Without an attribute\n"
             "it is what {COLUMN} captured, or else the attribute of that name; {NAME} takes another\n"
             "capture. Types: text, varchar(N), uuid, smallint, integer, bigint, numeric(P,S), double\n"
             "precision, boolean, timestamptz, timestamp, date, jsonb, json, bytea; timestamptz(ms)\n"
             "or (unix) says what numbers are, (cut) cuts what is finer than a microsecond,\n"
             "jsonb(parse) takes strings for JSON text. A default stands for a missing attribute."},
    {.section = NULL},
};
/* clang-format on */

const struct option_section *config_section_find(const char *name)
{
    for (const struct option_section *s = config_sections; s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

const struct config_option *option_find(const char *section, const char *key)
{
    for (const struct config_option *o = config_options; o->section; o++)
        if (strcmp(o->section, section) == 0 && strcmp(o->key, key) == 0)
            return o;
    return NULL;
}

enum option_scope option_scope(const struct config_option *o)
{
    return strcmp(o->section, "table") == 0    ? SCOPE_TABLE
           : strcmp(o->section, "export") == 0 ? SCOPE_EXPORT
                                               : SCOPE_CONFIG;
}

/* Keeps the nearer of `best` and `candidate`; at most two letters off, and fewer than the name has.
 */
static const char *nearer(const char *name, const char *candidate, const char *best,
                          unsigned *distance)
{
    unsigned d = text_distance(name, candidate);

    if (d > 2 || d >= strlen(candidate) || d >= *distance)
        return best;
    *distance = d;
    return candidate;
}

/* Names are compared in lower case, so that Region or REGION finds region. */
static void lower(char *to, size_t size, const char *name)
{
    size_t n = 0;

    for (; name[n] && n + 1 < size; n++)
        to[n] = (char)(name[n] >= 'A' && name[n] <= 'Z' ? name[n] + ('a' - 'A') : name[n]);
    to[n] = '\0';
}

const char *config_section_nearest(const char *name)
{
    const char *best = NULL;
    unsigned distance = 99;
    char low[80];

    lower(low, sizeof low, name);
    for (const struct option_section *s = config_sections; s->name; s++)
        best = nearer(low, s->name, best, &distance);
    return best;
}

const char *option_nearest(const char *section, const char *key)
{
    const char *best = NULL;
    unsigned distance = 99;
    char low[80];

    lower(low, sizeof low, key);
    for (const struct config_option *o = config_options; o->section; o++)
        if (strcmp(o->section, section) == 0)
            best = nearer(low, o->key, best, &distance);
    return best;
}
