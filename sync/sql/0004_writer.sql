-- Whose head it is: a random mark of each writer, so that one whose answer was lost knows its own take-up again.
alter table head add column writer uuid;
