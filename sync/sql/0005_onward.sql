-- An item's own id may come from another node; the stream is always this node's.
alter table onward rename column item to stream;
