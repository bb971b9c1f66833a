// Package jobs is durable delayed work: a row per job, written in the transaction of the change that asks for it, done at least once.
//
// The way of a job, by file: a domain calls Runner.Enqueue inside its transaction (jobs.go, jobs_store.go); after the commit the queue's dispatcher is woken,
// claims due jobs with a lease and gives them to its workers (runner.go); the handler's Outcome ends the job, moves it, or says that its own
// transaction has done so. When a node dies, TakeBack makes its jobs due again; a lease that runs out is that of a handler which never came back.
//
// A queue may do several due jobs in one call (Options.Together), which then end in one transaction.
//
// Jobs of one queue with the same Order run one after the other. A handler may see a job twice and must be idempotent. The package knows no domain.
package jobs
