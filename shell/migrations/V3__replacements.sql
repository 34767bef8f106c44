-- Transactions that take the place of another for the same payment, for a higher fee. Nodes differ in which of the two they
-- heard of first, so the other need not be recorded yet.

ALTER TABLE transactions ADD COLUMN replaces text CHECK (replaces ~ '^[0-9a-f]{64}$' AND replaces <> txid);
CREATE INDEX transactions_by_original ON transactions (replaces) WHERE replaces IS NOT NULL;

CREATE FUNCTION guard_original() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.replaces IS DISTINCT FROM OLD.replaces THEN
        RAISE EXCEPTION 'what was proposed as transaction % does not change', OLD.txid
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transactions_guard_original BEFORE UPDATE ON transactions
    FOR EACH ROW EXECUTE FUNCTION guard_original();
