-- The guide's JSON files (data/*.json, objects keyed by id) as tables. Names of files and fields find
-- their tables and columns: provider-keys.json goes into provider_keys, createdAt into created_at.
CREATE TABLE provider_keys(
    id TEXT PRIMARY KEY NOT NULL,
    provider TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE projects(
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    path TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE project_files(
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    content TEXT,
    meta TEXT CHECK (meta IS NULL OR json_valid(meta)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE chats(
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    parent_id TEXT REFERENCES chats(id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE chat_messages(
    id TEXT PRIMARY KEY NOT NULL,
    chat_id TEXT NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE prompts(
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE prompt_projects(
    prompt_id TEXT NOT NULL REFERENCES prompts(id) ON DELETE CASCADE,
    project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    PRIMARY KEY (prompt_id, project_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE mcp_configs(
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT REFERENCES projects(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    config TEXT NOT NULL CHECK (json_valid(config)),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX project_files_by_project ON project_files(project_id);
CREATE INDEX chat_messages_by_chat ON chat_messages(chat_id, created_at);
CREATE INDEX mcp_configs_by_project ON mcp_configs(project_id);
