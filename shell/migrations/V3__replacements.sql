-- Transactions that take the place of another for the same payment, for a higher fee. Nodes differ in which of the two they
-- heard of first, so the other need not be recorded yet.

ALTER TABLE transactions ADD COLUMN replaces text CHECK (replaces ~ '^[0-9a-f]{64}$' AND replaces <> txid);
CREATE INDEX transactions_by_original ON transactions (replaces) WHERE replaces IS NOT NULL;

CREATE TRIGGER transactions_keep_replaces BEFORE UPDATE ON transactions FOR EACH ROW
    WHEN (NEW.replaces IS DISTINCT FROM OLD.replaces) EXECUTE FUNCTION refuse_another_proposal();
