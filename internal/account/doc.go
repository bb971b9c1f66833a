// Package account knows the tenants: accounts, the users who sign in to them, their passwords, JWTs and API tokens, and says who is asking.
// Around that it keeps what belongs to the account alone: notification settings, addresses, office hours, and the users' carts.
//
// Main types: Service (account.go), Account (account.go), User (user.go), Token (token.go). Money is not here: the balance that an account shows comes
// from whoever keeps the ledger, through Balances; new accounts get their rows of other subjects through Service.OnAccount.
//
// The path of a request's credential, by file: auth_http.go receives what stood in the header, asks cache.go whether it was good a moment ago, else
// password.go (Argon2id, bounded), jwt.go (HS256) or token.go (SHA-256 of an opaque token), loads user and account by user_store.go and account_store.go,
// and answers an identity. The path of a sign-up: user_http.go decodes, user.go checks and makes account and user in one transaction with all hooks.
// online_store.go keeps who has a websocket on which node.
// bootstrap.go makes the first administrator. view_http.go renders accounts and users for the answers and for the events of all other subjects, with
// what dictionary.go knows of zones and countries.
//
// It never sees SIP passwords, prices or numbers, and it never keeps a password, an API token or a reset token in readable form.
package account
