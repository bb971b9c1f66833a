package billing

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
)

// Routes registers transactions, their reports and price plans.
func (s *Service) Routes(a *httpapi.API) {
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "Transaction", Summary: summary, Auth: httpapi.User, Scope: "billing"}
	}
	search := op("SearchTransactions", "POST", "/rest/transaction/search", "Search the ledger")
	search.Scope = "billing:read"
	httpapi.Handle(a, search, s.searchTransactions)
	older := op("SearchTransactionsOlder", "POST", "/rest/payment", "Search the ledger at the path that some clients use")
	older.Scope, older.Hidden = search.Scope, true
	httpapi.Handle(a, older, s.searchAtPayment)
	httpapi.Handle(a, op("GetTransactionInvoiceReport", "GET", "/rest/transaction/report/invoice", "Sums by kind of charge over a range"), s.invoiceReport)
	httpapi.Handle(a, op("GetTransactionDashboardReport", "GET", "/rest/transaction/report/dashboard/{ref_type}", "Sums by day of one kind of charge"), s.dashboardReport)
	httpapi.Handle(a, op("GetTransactionByUUID", "GET", "/rest/transaction/{uuid}", "Read a ledger entry"), s.getTransaction)
	credit := op("AdminCredit", "POST", "/rest/admin/account/{uuid}/credit", "Change a balance by hand")
	credit.Auth, credit.Status, credit.Tag, credit.Scope = httpapi.Admin, 201, "Admin", "admin"
	httpapi.Handle(a, credit, s.adminCredit)
	s.planRoutes(a)
}

// transactionView is Transaction of the contract.
type transactionView struct {
	UUID        string          `json:"uuid"`
	Amount      money.Amount    `json:"amount"`
	Before      money.Amount    `json:"account_balance_before"`
	After       money.Amount    `json:"account_balance_after"`
	RefType     string          `json:"ref_type"`
	RefUUID     *string         `json:"ref_uuid"`
	Description *string         `json:"description"`
	Account     json.RawMessage `json:"account"`
	Action      string          `json:"source_action"`
	Created     httpapi.Time    `json:"created_on"`
	Modified    httpapi.Time    `json:"modified_on"`
}

func viewTransaction(t Transaction, account json.RawMessage) transactionView {
	return transactionView{
		UUID: t.UUID, Amount: t.Amount, Before: t.Before, After: t.After, RefType: t.RefType, RefUUID: text(t.RefUUID), Description: text(t.Description),
		Account: account, Action: t.Action, Created: httpapi.TimeOf(t.At), Modified: httpapi.TimeOf(t.At),
	}
}

type transactionSearch struct {
	httpapi.Search `orderable:"account_balance_before,account_balance_after,amount,ref_type,created_on,modified_on"`
	Before         *money.Amount `json:"account_balance_before"`
	After          *money.Amount `json:"account_balance_after"`
	Amount         *money.Amount `json:"amount"`
	RefType        string        `json:"ref_type" enum:"payment,tnlease_mrc,tnlease_nrc,sms_incoming,sms_outgoing,sms_nrc,sms_mrc,mms_incoming,mms_outgoing,mms_nrc,mms_mrc,voice_incoming,voice_outgoing,voice_nrc,voice_mrc,fax_incoming,fax_outgoing,fax_nrc,fax_mrc,emergency_incoming,emergency_outgoing,emergency_nrc,emergency_mrc,tts,call_asr,tcr_brand,tcr_vetting,tcr_campaign_nrc,tcr_campaign_mrc,lrn_lookup,adjustment,refund"`
	RefUUID        string        `json:"ref_uuid" format:"uuid"`
	Description    string        `json:"description"`
}

func (s *Service) searchTransactions(ctx context.Context, in *transactionSearch) (httpapi.Page[transactionView], error) {
	account := httpapi.Who(ctx).Account
	f := Filter{Account: account, Or: in.Or(), RefType: in.RefType, RefUUID: in.RefUUID, Description: in.Description, Before: in.Before, After: in.After, Amount: in.Amount, Take: in.Take, Skip: in.Skip}
	f.From, f.To = bounds(in.CreatedFrom, in.CreatedTo)
	f.ModifiedFrom, f.ModifiedTo = bounds(in.ModifiedFrom, in.ModifiedTo)
	for _, o := range in.Order {
		f.Order = append(f.Order, Order{Field: o.Field, Desc: o.Desc})
	}
	found, total, err := s.Search(ctx, f)
	if err != nil {
		return httpapi.Page[transactionView]{}, err
	}
	ref, err := s.accounts.RefView(ctx, s.db.Read(), account)
	out := make([]transactionView, 0, len(found))
	for _, t := range found {
		out = append(out, viewTransaction(t, ref))
	}
	return httpapi.PageOf(in.Search, total, out), err
}

// paymentSearch is a search that some clients send to the path of payments. A payment itself names its provider.
type paymentSearch struct {
	transactionSearch
	Provider string `json:"provider" maxLength:"32"`
}

func (s *Service) searchAtPayment(ctx context.Context, in *paymentSearch) (httpapi.Page[transactionView], error) {
	if in.Provider != "" {
		return httpapi.Page[transactionView]{}, fault.New(fault.NotImplemented)
	}
	return s.searchTransactions(ctx, &in.transactionSearch)
}

func bounds(from, to *httpapi.Time) (a, b time.Time) {
	if t := from.Std(); t != nil {
		a = *t
	}
	if t := to.Std(); t != nil {
		b = *t
	}
	return a, b
}

type transactionKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

type fullTransaction struct {
	transactionView
	Object json.RawMessage `json:"ref_object"`
}

func (s *Service) getTransaction(ctx context.Context, in *transactionKey) (fullTransaction, error) {
	account := httpapi.Who(ctx).Account
	t, err := s.Entry(ctx, account, in.UUID)
	if err != nil {
		return fullTransaction{}, err
	}
	ref, err := s.accounts.RefView(ctx, s.db.Read(), account)
	if err != nil {
		return fullTransaction{}, err
	}
	object, err := s.object(ctx, t)
	return fullTransaction{viewTransaction(t, ref), object}, err
}

type reportRange struct {
	From *httpapi.Time `query:"from"`
	To   *httpapi.Time `query:"to"`
}

// Validate refuses a range that ends before it begins.
func (r *reportRange) Validate(f *fault.Fields) {
	if a, b := bounds(r.From, r.To); !a.IsZero() && !b.IsZero() && b.Before(a) {
		f.Add("to", "ends before it begins", nil)
	}
}

// span fills the open ends of a range.
func (r *reportRange) span(from, to time.Time) (time.Time, time.Time) {
	a, b := bounds(r.From, r.To)
	if a.IsZero() {
		a = from
	}
	if b.IsZero() {
		b = to
	}
	return a, b
}

type sumView struct {
	RefType string       `json:"ref_type"`
	Amount  money.Amount `json:"amount"`
}

type invoiceView struct {
	From   httpapi.Time `json:"from"`
	To     httpapi.Time `json:"to"`
	Report []sumView    `json:"report"`
}

func (s *Service) invoiceReport(ctx context.Context, in *reportRange) (invoiceView, error) {
	now := s.now().UTC()
	from, to := in.span(time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC), now)
	sums, err := s.SumsByType(ctx, httpapi.Who(ctx).Account, from, to)
	out := invoiceView{From: httpapi.TimeOf(from), To: httpapi.TimeOf(to), Report: []sumView{}}
	for _, sum := range sums {
		out.Report = append(out.Report, sumView{sum.RefType, sum.Amount})
	}
	return out, err
}

type dayRequest struct {
	RefType string `path:"ref_type" enum:"payment,tnlease_mrc,tnlease_nrc,sms_incoming,sms_outgoing,sms_nrc,sms_mrc,mms_incoming,mms_outgoing,mms_nrc,mms_mrc,voice_incoming,voice_outgoing,voice_nrc,voice_mrc,fax_incoming,fax_outgoing,fax_nrc,fax_mrc,emergency_incoming,emergency_outgoing,emergency_nrc,emergency_mrc,tts,call_asr,tcr_brand,tcr_vetting,tcr_campaign_nrc,tcr_campaign_mrc,lrn_lookup,adjustment,refund"`
	reportRange
}

type dayView struct {
	Date  string       `json:"date"`
	Count int          `json:"count"`
	Sum   money.Amount `json:"sum"`
}

type dashboardView struct {
	From    httpapi.Time `json:"from"`
	To      httpapi.Time `json:"to"`
	RefType string       `json:"ref_type"`
	Report  []dayView    `json:"report"`
}

func (s *Service) dashboardReport(ctx context.Context, in *dayRequest) (dashboardView, error) {
	now := s.now().UTC()
	from, to := in.span(now.AddDate(0, 0, -30), now)
	days, err := s.SumsByDay(ctx, httpapi.Who(ctx).Account, in.RefType, from, to)
	out := dashboardView{From: httpapi.TimeOf(from), To: httpapi.TimeOf(to), RefType: in.RefType, Report: []dayView{}}
	for _, d := range days {
		out.Report = append(out.Report, dayView{d.Day.Format(time.DateOnly), d.Count, d.Amount})
	}
	return out, err
}

type creditRequest struct {
	UUID        string       `path:"uuid" format:"uuid"`
	Amount      money.Amount `json:"amount" required:"true"`
	Description string       `json:"description" required:"true" minLength:"1" maxLength:"255"`
}

func (s *Service) adminCredit(ctx context.Context, in *creditRequest) (transactionView, error) {
	var t Transaction
	var ref json.RawMessage
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if ref, err = s.accounts.RefView(ctx, tx, in.UUID); err != nil {
			return err
		}
		t, err = s.Post(ctx, tx, Entry{Account: in.UUID, Amount: in.Amount, RefType: "adjustment", Action: "adjustment", Description: in.Description})
		return err
	})
	return viewTransaction(t, ref), err
}
