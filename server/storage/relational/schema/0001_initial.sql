-- breaking: the first version
CREATE TABLE realm        (realm TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, position BIGINT NOT NULL, version BIGINT NOT NULL, section TEXT NOT NULL, added INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (realm, id), UNIQUE (realm, parent, name));
CREATE TABLE client       (realm TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, position BIGINT NOT NULL, version BIGINT NOT NULL, section TEXT NOT NULL, added INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (realm, id), UNIQUE (realm, parent, name));
CREATE TABLE client_scope (realm TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, position BIGINT NOT NULL, version BIGINT NOT NULL, section TEXT NOT NULL, added INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (realm, id), UNIQUE (realm, parent, name));
CREATE TABLE role         (realm TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, position BIGINT NOT NULL, version BIGINT NOT NULL, section TEXT NOT NULL, added INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (realm, id), UNIQUE (realm, parent, name));
CREATE TABLE user_group   (realm TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, position BIGINT NOT NULL, version BIGINT NOT NULL, section TEXT NOT NULL, added INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (realm, id), UNIQUE (realm, parent, name));
CREATE TABLE flow         (realm TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, position BIGINT NOT NULL, version BIGINT NOT NULL, section TEXT NOT NULL, added INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (realm, id), UNIQUE (realm, parent, name));
CREATE TABLE component    (realm TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, position BIGINT NOT NULL, version BIGINT NOT NULL, section TEXT NOT NULL, added INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (realm, id));
CREATE INDEX component_kind ON component (realm, kind, parent);
CREATE INDEX role_position ON role (realm, position);
CREATE INDEX user_group_position ON user_group (realm, position);
CREATE INDEX client_position ON client (realm, position);

CREATE TABLE users (
  realm TEXT NOT NULL, id TEXT NOT NULL, username TEXT NOT NULL, email TEXT NOT NULL,
  email_unique TEXT, -- the email where the realm wants it unique, else NULL
  first_name TEXT NOT NULL, last_name TEXT NOT NULL, enabled INTEGER NOT NULL, email_verified INTEGER NOT NULL,
  service_client TEXT NOT NULL, position BIGINT NOT NULL, version BIGINT NOT NULL, added INTEGER NOT NULL, doc TEXT NOT NULL,
  PRIMARY KEY (realm, id), UNIQUE (realm, username), UNIQUE (realm, email_unique));
CREATE INDEX users_email ON users (realm, email);
CREATE INDEX users_position ON users (realm, position);
CREATE INDEX users_service ON users (realm, service_client);
CREATE TABLE user_link (realm TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, user_id TEXT NOT NULL, PRIMARY KEY (realm, kind, target, user_id));
CREATE INDEX user_link_user ON user_link (realm, user_id);

CREATE TABLE user_session (
  realm TEXT NOT NULL, offline INTEGER NOT NULL, id TEXT NOT NULL, user_id TEXT NOT NULL,
  started BIGINT NOT NULL, last_access BIGINT NOT NULL, expires BIGINT NOT NULL, doc TEXT NOT NULL,
  PRIMARY KEY (realm, offline, id));
CREATE INDEX user_session_user ON user_session (realm, user_id);
CREATE INDEX user_session_expires ON user_session (expires);
CREATE TABLE client_session (
  realm TEXT NOT NULL, offline INTEGER NOT NULL, session_id TEXT NOT NULL, client_id TEXT NOT NULL,
  started BIGINT NOT NULL, last_access BIGINT NOT NULL, doc TEXT NOT NULL,
  PRIMARY KEY (realm, offline, session_id, client_id));
CREATE INDEX client_session_client ON client_session (realm, client_id);
CREATE TABLE authentication_session (realm TEXT NOT NULL, id TEXT NOT NULL, expires BIGINT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (realm, id));
CREATE INDEX authentication_session_expires ON authentication_session (expires);
CREATE TABLE single_use (realm TEXT NOT NULL, name TEXT NOT NULL, expires BIGINT NOT NULL, value @BLOB@ NOT NULL, PRIMARY KEY (realm, name));
CREATE INDEX single_use_expires ON single_use (expires);
CREATE TABLE login_failure (realm TEXT NOT NULL, user_id TEXT NOT NULL, expires BIGINT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (realm, user_id));
CREATE INDEX login_failure_expires ON login_failure (expires);
