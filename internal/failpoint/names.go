package failpoint

// Point is one moment.
type Point struct {
	Name       string
	Interrupts string // what is done already, and what is not
}

// Points lists every moment in the order of the work; each has exactly one Hit.
func Points() []Point {
	return []Point{
		{"db.before_commit", "the statements of a group have run, nothing is committed"},
		{"db.committed", "a group is on the disk, none of its callers knows"},
		{"idempotency.before_answer", "the operation and its stored answer are on the disk, the client has no answer"},
		{"messaging.accepted", "an outbound message is on the disk, its sender has no answer"},
		{"messaging.claimed", "messages belong to this node, none was handed to the carrier"},
		{"messaging.submitted", "the carrier answered for messages, their results are not on the disk"},
		{"messaging.receipt_before_commit", "receipts were matched and charged, the transaction is open"},
		{"messaging.receipt_committed", "receipts are on the disk, the carrier has no acknowledgement"},
		{"event.relay", "events are committed, no reader of this node has them"},
		{"webhook.fanned", "the transaction that moves the cursor of the fan-out is open, its deliveries are not written"},
		{"webhook.attempting", "an attempt is on the disk, its request was not sent"},
		{"webhook.sent", "the customer's server answered, the result is not on the disk"},
		{"jobs.handled", "a job's handler has returned, the job is not ended"},
		{"jobs.handled_together", "the handler of several jobs has returned, none of them is ended"},
		{"voice.before_write", "states of calls wait in the journal, nothing of them is on the disk"},
		{"voice.written", "states of calls are on the disk, nobody who waits for them knows"},
		{"voice.placed", "a call of the REST API is on its way, its record is not on the disk"},
		{"number.held", "the numbers of an order are locked and its money is there, no lease is made"},
		{"billing.settled", "holds were turned into charges, the transaction is open"},
		{"cluster.declared_dead", "a node was declared dead and its work taken back, its heirs do not know"},
	}
}
