-- Who takes part in a mail thread beside the person whose conversation it is: addresses in lower case.
-- Only they may continue it by answering, whatever ids or tokens a stranger has got hold of.
CREATE TABLE participants (
    conversation_id  BIGINT NOT NULL,
    address          TEXT NOT NULL,
    PRIMARY KEY (conversation_id, address)
);
CREATE INDEX participants_address ON participants (address);
