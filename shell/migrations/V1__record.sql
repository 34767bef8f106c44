-- The cluster's record: what users read, and what nobody decides by. The rules that the wallet keeps are kept here a
-- second time, so that a slip of a hand is refused; a hand that switches triggers off is found by comparison with the nodes.

DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database is encoded in %, create it with ENCODING UTF8', current_setting('server_encoding');
    END IF;
END $$;

CREATE TYPE transaction_state AS ENUM (
    'pending', 'voting', 'threshold_reached', 'approved', 'signing', 'signed', 'broadcasting', 'confirmed',
    'rejected', 'failed', 'aborted_byzantine'
);
CREATE TYPE violation_type AS ENUM ('double_vote', 'invalid_signature', 'timeout', 'protocol_violation');
CREATE TYPE mpc_protocol AS ENUM ('cggmp24', 'frost');
CREATE TYPE node_state AS ENUM ('online', 'offline', 'degraded', 'banned');

-- Whose record this is. One database serves one cluster.
CREATE TABLE cluster (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    cluster_id text NOT NULL,
    network text NOT NULL,
    total_nodes integer NOT NULL,
    threshold integer NOT NULL CHECK (threshold > total_nodes / 2 AND threshold <= total_nodes)
);

-- Up to where each node's journal is in here. Changed in the SQL transaction that writes the facts, never apart from it.
CREATE TABLE feed_cursors (
    node_id integer PRIMARY KEY,
    journal_id text NOT NULL,
    position bigint NOT NULL CHECK (position >= 0),
    record_digest text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE transactions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid text NOT NULL UNIQUE CHECK (txid ~ '^[0-9a-f]{64}$'),
    state transaction_state NOT NULL DEFAULT 'pending',
    sub_status text NOT NULL DEFAULT '',
    scheme text NOT NULL DEFAULT 'taproot' CHECK (scheme IN ('taproot', 'segwit')),
    recipient text NOT NULL,
    amount_sats bigint NOT NULL CHECK (amount_sats > 0),
    fee_sats bigint NOT NULL CHECK (fee_sats >= 0),
    metadata text,
    proposed_by integer,
    digest text,
    unsigned_tx bytea NOT NULL,
    signed_tx bytea,
    bitcoin_txid text,
    confirmations integer NOT NULL DEFAULT 0 CHECK (confirmations >= 0),
    block_height bigint,
    block_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    -- Of the last change of state: why, by whose word, when by that node's clock.
    cause text NOT NULL DEFAULT '',
    told_by integer,
    state_at timestamptz NOT NULL DEFAULT now(),
    reopened_at timestamptz,
    sub_status_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz
);
CREATE INDEX transactions_by_state ON transactions (state, id);
CREATE INDEX transactions_by_time ON transactions (created_at);

-- How each node tells each transaction, which is exactly what its REST API says.
CREATE TABLE transaction_views (
    tx_id bigint NOT NULL REFERENCES transactions (id),
    node_id integer NOT NULL,
    state transaction_state NOT NULL,
    sub_status text NOT NULL,
    told_at timestamptz NOT NULL,
    PRIMARY KEY (tx_id, node_id)
);

CREATE TABLE voting_rounds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx_id bigint NOT NULL REFERENCES transactions (id),
    round_number bigint NOT NULL CHECK (round_number > 0),
    total_nodes integer NOT NULL CHECK (total_nodes > 0),
    threshold integer NOT NULL CHECK (threshold > total_nodes / 2 AND threshold <= total_nodes),
    votes_received integer NOT NULL DEFAULT 0,
    approved boolean NOT NULL DEFAULT false,
    completed boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    timeout_at timestamptz NOT NULL,
    UNIQUE (tx_id, round_number)
);

CREATE TABLE votes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    round_id bigint NOT NULL REFERENCES voting_rounds (id),
    node_id integer NOT NULL,
    approve boolean NOT NULL,
    reason text,
    signature text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (round_id, node_id)
);
CREATE INDEX votes_by_node ON votes (node_id);

CREATE TABLE byzantine_violations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id integer NOT NULL,
    tx_id bigint REFERENCES transactions (id),
    -- A member may lie about a transaction that never was.
    txid text,
    violation_type violation_type NOT NULL,
    evidence jsonb NOT NULL DEFAULT '{}',
    action_taken text NOT NULL DEFAULT 'recorded',
    detected_at timestamptz NOT NULL DEFAULT now(),
    reported_by integer,
    -- One lie, one row: the digest of a proof, or the witness and the digest of its own record.
    fact_key text UNIQUE
);
CREATE INDEX violations_by_node ON byzantine_violations (node_id, detected_at);

CREATE TABLE presignature_usage (
    presig_id uuid PRIMARY KEY,
    presignature text UNIQUE,
    protocol mpc_protocol NOT NULL,
    transaction_id bigint NOT NULL REFERENCES transactions (id),
    generation_time_ms bigint NOT NULL CHECK (generation_time_ms >= 0),
    generated_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX presignature_usage_by_transaction ON presignature_usage (transaction_id);

CREATE TABLE node_status (
    node_id integer PRIMARY KEY CHECK (node_id > 0),
    status node_state NOT NULL DEFAULT 'offline',
    last_heartbeat timestamptz,
    total_votes bigint NOT NULL DEFAULT 0,
    total_violations bigint NOT NULL DEFAULT 0,
    banned_until timestamptz,
    version text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    presignatures_available integer,
    journal_position bigint
);

CREATE TABLE audit_log (
    id bigint PRIMARY KEY,
    event_type text NOT NULL,
    node_id integer,
    tx_id bigint,
    txid text,
    details jsonb NOT NULL,
    timestamp timestamptz NOT NULL,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL
);
CREATE INDEX audit_by_transaction ON audit_log (txid, id);
CREATE INDEX audit_by_event ON audit_log (event_type, node_id);

-- Milliseconds since 1970, exactly.
CREATE FUNCTION at_ms(ms bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT timestamptz 'epoch' + ms * interval '1 millisecond' $$;

-- The node whose session this is; NULL for a person in psql.
CREATE FUNCTION telling_node() RETURNS integer LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('mpc_wallet.node_id', true), '')::integer $$;

-- Append-only ------------------------------------------------------------------------------------------------------

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER audit_log_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER votes_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON votes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER violations_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON byzantine_violations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER presignature_usage_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON presignature_usage
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transactions_keep BEFORE DELETE OR TRUNCATE ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER voting_rounds_keep BEFORE DELETE OR TRUNCATE ON voting_rounds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Audit chain ------------------------------------------------------------------------------------------------------

-- A field as the chain hashes it: its length in bytes (4, big-endian) and its UTF-8; NULL is the length ffffffff alone.
CREATE FUNCTION audit_field(value text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN value IS NULL THEN '\xffffffff'::bytea
                ELSE int4send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8') END
$$;

CREATE FUNCTION audit_microseconds(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT (extract(epoch FROM moment) * 1000000)::bigint::text $$;

-- Links a row to the one before it. The lock makes one chain of many writers; it ends with the SQL transaction.
CREATE FUNCTION audit_link() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last record;
BEGIN
    PERFORM pg_advisory_xact_lock(7885050123021);
    SELECT id, hash INTO last FROM audit_log ORDER BY id DESC LIMIT 1;
    NEW.id := coalesce(last.id, 0) + 1;
    NEW.timestamp := clock_timestamp();
    NEW.prev_hash := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    NEW.hash := sha256(
        NEW.prev_hash || audit_field(NEW.id::text) || audit_field(NEW.event_type) || audit_field(NEW.node_id::text)
        || audit_field(NEW.tx_id::text) || audit_field(NEW.txid) || audit_field(NEW.details::text)
        || audit_field(audit_microseconds(NEW.timestamp))
    );
    RETURN NEW;
END $$;
CREATE TRIGGER audit_log_links BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_link();

CREATE PROCEDURE audit(event text, transaction_id bigint, transaction_txid text, facts jsonb) LANGUAGE sql AS $$
    INSERT INTO audit_log (event_type, node_id, tx_id, txid, details)
    VALUES (event, telling_node(), transaction_id, transaction_txid,
            facts || jsonb_build_object('database_user', session_user))
$$;

-- Lifecycle --------------------------------------------------------------------------------------------------------

CREATE FUNCTION is_legal_move(old_state transaction_state, new_state transaction_state) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT (old_state::text, new_state::text) IN (VALUES
        ('pending', 'voting'), ('pending', 'rejected'),
        ('voting', 'threshold_reached'), ('voting', 'signed'), ('voting', 'rejected'), ('voting', 'failed'),
        ('threshold_reached', 'approved'), ('threshold_reached', 'signed'), ('threshold_reached', 'failed'),
        ('approved', 'signing'), ('approved', 'signed'), ('approved', 'failed'),
        ('signing', 'signed'), ('signing', 'failed'), ('signing', 'aborted_byzantine'),
        ('signed', 'broadcasting'), ('signed', 'failed'),
        ('broadcasting', 'confirmed'), ('broadcasting', 'failed'),
        ('confirmed', 'broadcasting'))
$$;

CREATE FUNCTION guard_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' THEN
            RAISE EXCEPTION 'transaction % begins in pending, not in %', NEW.txid, NEW.state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.txid, NEW.scheme, NEW.recipient, NEW.amount_sats, NEW.fee_sats, NEW.metadata, NEW.proposed_by,
        NEW.digest, NEW.unsigned_tx, NEW.created_at, NEW.expires_at)
       IS DISTINCT FROM
       (OLD.id, OLD.txid, OLD.scheme, OLD.recipient, OLD.amount_sats, OLD.fee_sats, OLD.metadata, OLD.proposed_by,
        OLD.digest, OLD.unsigned_tx, OLD.created_at, OLD.expires_at) THEN
        RAISE EXCEPTION 'what was proposed as transaction % does not change', OLD.txid
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.signed_tx IS NOT NULL AND NEW.signed_tx IS DISTINCT FROM OLD.signed_tx THEN
        RAISE EXCEPTION 'transaction % is signed; its bytes do not change', OLD.txid
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state AND NOT is_legal_move(OLD.state, NEW.state) THEN
        RAISE EXCEPTION 'transaction % cannot go from % to %', OLD.txid, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transactions_guard BEFORE INSERT OR UPDATE ON transactions
    FOR EACH ROW EXECUTE FUNCTION guard_transaction();

CREATE FUNCTION audit_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        CALL audit('transaction_proposed', NEW.id, NEW.txid, jsonb_build_object(
            'to', NEW.state, 'recipient', NEW.recipient, 'amount_sats', NEW.amount_sats, 'fee_sats', NEW.fee_sats,
            'digest', NEW.digest, 'proposed_by', NEW.proposed_by, 'at', NEW.state_at));
    ELSIF NEW.state <> OLD.state THEN
        CALL audit('state_changed', NEW.id, NEW.txid, jsonb_build_object(
            'from', OLD.state, 'to', NEW.state, 'sub_status', NEW.sub_status, 'cause', NEW.cause, 'at', NEW.state_at));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER transactions_audit AFTER INSERT OR UPDATE ON transactions
    FOR EACH ROW EXECUTE FUNCTION audit_state();

-- Votes ------------------------------------------------------------------------------------------------------------

-- Nobody writes the count: it is what was counted.
CREATE FUNCTION count_votes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.votes_received := (SELECT count(*) FROM votes WHERE round_id = NEW.id);
    RETURN NEW;
END $$;
CREATE TRIGGER voting_rounds_count BEFORE INSERT OR UPDATE ON voting_rounds
    FOR EACH ROW EXECUTE FUNCTION count_votes();

CREATE FUNCTION vote_counted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject record;
BEGIN
    UPDATE voting_rounds SET votes_received = votes_received + 1 WHERE id = NEW.round_id;
    UPDATE node_status SET total_votes = total_votes + 1, updated_at = now() WHERE node_id = NEW.node_id;
    SELECT tx.id, tx.txid, round.round_number INTO subject
        FROM voting_rounds round JOIN transactions tx ON tx.id = round.tx_id WHERE round.id = NEW.round_id;
    CALL audit('vote_received', subject.id, subject.txid, jsonb_build_object(
        'voter', NEW.node_id, 'round', subject.round_number, 'approve', NEW.approve, 'reason', NEW.reason,
        'signature', NEW.signature));
    RETURN NULL;
END $$;
CREATE TRIGGER votes_counted AFTER INSERT ON votes FOR EACH ROW EXECUTE FUNCTION vote_counted();

-- A round is over when its transaction has left the vote.
CREATE FUNCTION close_round() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state NOT IN ('pending', 'voting') THEN
        UPDATE voting_rounds
           SET completed = true, completed_at = NEW.state_at, approved = NEW.state IN ('threshold_reached', 'signed')
         WHERE tx_id = NEW.id AND NOT completed;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER transactions_close_round AFTER UPDATE OF state ON transactions
    FOR EACH ROW EXECUTE FUNCTION close_round();

-- Members ----------------------------------------------------------------------------------------------------------

-- The fifth fault by one witness's account since the last ban shuts a member out for a day. Silence does not count: it is
-- what a crash, a slow disk or a cut cable looks like.
CREATE FUNCTION count_violation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
BEGIN
    -- Through the lock of the chain, so that two faults at once are not both the fourth.
    PERFORM pg_advisory_xact_lock(7885050123021);
    INSERT INTO node_status (node_id, total_violations) VALUES (NEW.node_id, 1)
        ON CONFLICT (node_id) DO UPDATE SET total_violations = node_status.total_violations + 1, updated_at = now();
    IF NEW.violation_type <> 'timeout' THEN
        SELECT count(*) INTO before FROM byzantine_violations
         WHERE node_id = NEW.node_id AND violation_type <> 'timeout' AND id < NEW.id
           AND reported_by IS NOT DISTINCT FROM NEW.reported_by
           AND detected_at > coalesce((SELECT banned_until FROM node_status WHERE node_id = NEW.node_id), '-infinity');
        IF before >= 4 THEN
            UPDATE node_status
               SET status = 'banned', updated_at = now(),
                   banned_until = greatest(banned_until, NEW.detected_at + interval '24 hours')
             WHERE node_id = NEW.node_id;
        END IF;
    END IF;
    CALL audit('violation_detected', NEW.tx_id, NEW.txid, jsonb_build_object(
        'accused', NEW.node_id, 'violation_type', NEW.violation_type, 'action_taken', NEW.action_taken,
        'evidence', NEW.evidence, 'at', NEW.detected_at));
    RETURN NULL;
END $$;
CREATE TRIGGER violations_counted AFTER INSERT ON byzantine_violations
    FOR EACH ROW EXECUTE FUNCTION count_violation();

CREATE FUNCTION audit_ban() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.banned_until IS NOT NULL
       AND (TG_OP = 'INSERT' OR NEW.banned_until IS DISTINCT FROM OLD.banned_until) THEN
        CALL audit('node_banned', NULL, NULL,
                   jsonb_build_object('banned', NEW.node_id, 'banned_until', NEW.banned_until));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER node_status_audit AFTER INSERT OR UPDATE ON node_status FOR EACH ROW EXECUTE FUNCTION audit_ban();

CREATE FUNCTION audit_presignature() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject text := (SELECT txid FROM transactions WHERE id = NEW.transaction_id);
BEGIN
    CALL audit('presignature_used', NEW.transaction_id, subject,
               jsonb_build_object('presig_id', NEW.presig_id, 'protocol', NEW.protocol, 'at', NEW.used_at));
    RETURN NULL;
END $$;
CREATE TRIGGER presignature_usage_audit AFTER INSERT ON presignature_usage
    FOR EACH ROW EXECUTE FUNCTION audit_presignature();

-- Views ------------------------------------------------------------------------------------------------------------

CREATE VIEW open_transactions AS
    SELECT tx.txid, tx.state, tx.sub_status, tx.recipient, tx.amount_sats, tx.created_at, tx.updated_at,
           round.round_number, round.threshold, coalesce(round.votes_received, 0) AS votes_received,
           (SELECT count(*) FROM votes WHERE round_id = round.id AND approve) AS approvals,
           (SELECT count(*) FROM votes WHERE round_id = round.id AND NOT approve) AS rejections
      FROM transactions tx
      LEFT JOIN LATERAL (SELECT * FROM voting_rounds WHERE tx_id = tx.id ORDER BY round_number DESC LIMIT 1) round ON true
     WHERE tx.state NOT IN ('confirmed', 'rejected', 'failed', 'aborted_byzantine');

-- A node that died says nothing; 15 s are five of its heartbeats.
CREATE VIEW node_health AS
    SELECT node_id,
           CASE WHEN banned_until > now() THEN 'banned'
                WHEN last_heartbeat IS NULL OR last_heartbeat < now() - interval '15 seconds' THEN 'offline'
                WHEN status = 'banned' THEN 'online'
                ELSE status END AS status,
           last_heartbeat, extract(epoch FROM now() - last_heartbeat)::bigint AS seconds_since_heartbeat,
           total_votes, total_violations, banned_until, version, journal_position,
           (SELECT position FROM feed_cursors WHERE feed_cursors.node_id = node_status.node_id) AS recorded_position
      FROM node_status;

CREATE VIEW violations_per_node AS
    SELECT node_id, violation_type, count(*) AS violations, max(detected_at) AS last_detected_at
      FROM byzantine_violations GROUP BY node_id, violation_type;

CREATE VIEW presignature_stock AS
    SELECT node_id, presignatures_available AS available, last_heartbeat AS as_of,
           (SELECT count(*) FROM presignature_usage WHERE protocol = 'cggmp24') AS used_by_the_cluster
      FROM node_status;

-- Transactions that some node tells otherwise than the record.
CREATE VIEW transaction_disagreements AS
    SELECT tx.txid, tx.state AS recorded, seen.node_id, seen.state AS told, seen.sub_status, seen.told_at
      FROM transactions tx JOIN transaction_views seen ON seen.tx_id = tx.id
     WHERE seen.state <> tx.state;

-- One JSON document a row, in the form that `mpc-wallet-cli audit verify` reads. `details` is text, as it was hashed.
CREATE VIEW audit_export AS
    SELECT id, json_build_object(
        'id', id, 'event_type', event_type, 'node_id', node_id, 'tx_id', tx_id, 'txid', txid, 'details', details::text,
        'timestamp_us', audit_microseconds(timestamp), 'prev_hash', encode(prev_hash, 'hex'), 'hash', encode(hash, 'hex')
    )::text AS line
      FROM audit_log;
