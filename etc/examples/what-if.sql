-- "What if": the guide's scenarios, as a table that holds what its documents may hold.
CREATE TABLE scenarios(
    scenarioId TEXT PRIMARY KEY NOT NULL,
    mongoId TEXT UNIQUE,
    userId TEXT NOT NULL CHECK (userId <> ''),
    topic TEXT NOT NULL,
    content TEXT,
    promptType TEXT,
    tags TEXT CHECK (json_valid(tags)),
    isPublic TEXT NOT NULL DEFAULT 'false' CHECK (isPublic IN ('true', 'false')),
    shareUrl TEXT,
    createdAt TEXT NOT NULL,
    updatedAt TEXT
) STRICT;
