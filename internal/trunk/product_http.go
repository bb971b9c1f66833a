package trunk

import (
	"context"
	"encoding/json"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/httpapi"
)

func (s *Service) productRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "SIP_Product", Summary: summary, Auth: httpapi.User}
	}
	admin := func(id, method, path, summary string, status int) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "Admin", Summary: summary, Auth: httpapi.Admin, Status: status}
	}
	httpapi.Handle(a, op("GetSIPProductsList", "GET", "/rest/sip/product", "List SIP products"), s.listProducts)
	older := op("GetSIPConnectionProductsList", "GET", "/rest/sip/connection/product", "List SIP products (older name)")
	older.Tag = "SIP_Connection" // links to the tag and the operation are out there
	httpapi.Handle(a, older, s.listProducts)
	httpapi.Handle(a, admin("AdminCreateProduct", "POST", "/rest/admin/sip/product", "Make a SIP product", 201), s.createProduct)
	httpapi.Handle(a, admin("AdminUpdateProduct", "PATCH", "/rest/admin/sip/product/{id}", "Change a SIP product", 200), s.updateProduct)
	rates := admin("AdminUploadRates", "POST", "/rest/admin/rate/{rate_table_id}", "Add the lines of a CSV file to a rate table", 200)
	rates.Multipart, rates.MaxBody = true, maxRateFile
	httpapi.Handle(a, rates, s.uploadRates)
}

// productView is SipProduct of the contract.
type productView struct {
	ID          int          `json:"id"`
	Name        string       `json:"name"`
	Description *string      `json:"description"`
	Type        string       `json:"type"`
	TechPrefix  int          `json:"tech_prefix"`
	RateTable   int          `json:"rate_table_id"`
	RoutePlan   int          `json:"route_plan_id"`
	Created     httpapi.Time `json:"created_on"`
	Modified    httpapi.Time `json:"modified_on"`
}

func viewProduct(p Product) productView {
	return productView{
		ID: p.ID, Name: p.Name, Description: orNil(p.Description), Type: p.Type, TechPrefix: p.TechPrefix, RateTable: p.RateTable, RoutePlan: p.RoutePlan,
		Created: httpapi.TimeOf(p.Created), Modified: httpapi.TimeOf(p.Modified),
	}
}

// ProductView shows a product inside other objects; "null" for id zero, a 404 for one that the account may not use.
func (s *Service) ProductView(ctx context.Context, q db.Querier, account string, id int) (json.RawMessage, error) {
	if id == 0 {
		return json.RawMessage("null"), nil
	}
	p, err := s.Product(ctx, q, account, id)
	if err != nil {
		return nil, err
	}
	return json.Marshal(viewProduct(p))
}

func (s *Service) listProducts(ctx context.Context, in *httpapi.List) ([]productView, error) {
	list, err := s.Products(ctx, s.db.Read(), httpapi.Who(ctx).Account)
	if err != nil {
		return nil, err
	}
	return httpapi.Listed(ctx, *in, list, func(p *Product) (productView, error) { return viewProduct(*p), nil })
}

type productMembers struct {
	Description httpapi.Opt[string] `json:"description" maxLength:"255"`
	Account     httpapi.Opt[string] `json:"account" format:"uuid" doc:"owner of a private product"`
	TechPrefix  *int                `json:"tech_prefix" min:"0" max:"999999"`
	RateTable   *int                `json:"rate_table_id" min:"0" max:"1000000" doc:"0: the prices of the number plans"`
	RoutePlan   *int                `json:"route_plan_id" min:"0" max:"1000000"`
}

func (m *productMembers) apply(p *Product) {
	p.Description, p.Account = m.Description.Or(p.Description), m.Account.Or(p.Account)
	set(&p.TechPrefix, m.TechPrefix)
	set(&p.RateTable, m.RateTable)
	set(&p.RoutePlan, m.RoutePlan)
}

type productNew struct {
	Name string `json:"name" required:"true" minLength:"1" maxLength:"255"`
	Type string `json:"type" enum:"public,private" default:"public"`
	productMembers
}

func (s *Service) createProduct(ctx context.Context, in *productNew) (productView, error) {
	p := Product{Name: in.Name, Type: in.Type, RoutePlan: 1}
	in.apply(&p)
	p, err := s.AddProduct(ctx, p)
	return viewProduct(p), err
}

type productUpdate struct {
	ID   int     `path:"id" min:"1" max:"1024"`
	Name *string `json:"name" minLength:"1" maxLength:"255"`
	Type *string `json:"type" enum:"public,private"`
	productMembers
}

func (s *Service) updateProduct(ctx context.Context, in *productUpdate) (productView, error) {
	p, err := s.ChangeProduct(ctx, in.ID, func(p *Product) {
		set(&p.Name, in.Name)
		set(&p.Type, in.Type)
		in.apply(p)
	})
	return viewProduct(p), err
}

type ratesIn struct {
	Table int          `path:"rate_table_id" min:"1" max:"1000000"`
	File  httpapi.File `form:"file" required:"true"`
}

type ratesView struct {
	Accepted int             `json:"accepted"`
	Failed   int             `json:"failed"`
	Total    int             `json:"total"`
	Errors   []rateFaultView `json:"errors"`
}

type rateFaultView struct {
	Line    int    `json:"line"`
	Message string `json:"message"`
}

func (s *Service) uploadRates(ctx context.Context, in *ratesIn) (ratesView, error) {
	rep, err := s.UploadRates(ctx, in.Table, in.File.Data)
	v := ratesView{Accepted: rep.Accepted, Failed: rep.Failed, Total: rep.Accepted + rep.Failed, Errors: []rateFaultView{}}
	for _, f := range rep.Faults {
		v.Errors = append(v.Errors, rateFaultView(f))
	}
	return v, err
}
