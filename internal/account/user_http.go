package account

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

// maxAvatar is the most bytes of a picture (rest-conventions §2).
const maxAvatar = 5 << 20

// Routes registers the operations of the package.
func (s *Service) Routes(a *httpapi.API) {
	s.authRoutes(a)
	s.userRoutes(a)
	s.cartRoutes(a)
	s.accountRoutes(a)
	s.hoursRoutes(a)
	s.addressRoutes(a)
	s.adminRoutes(a)
}

func (s *Service) userRoutes(a *httpapi.API) {
	httpapi.Handle(a, httpapi.Op{
		ID: "CreateUser", Method: "POST", Path: "/rest/user", Tag: "User", Auth: httpapi.Optional, Status: 201, Secret: true, Keeps: true,
		Summary: "Sign up: a user with an account of its own",
	}, s.httpSignUp)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetCurrentUser", Method: "GET", Path: "/rest/user", Tag: "User", Auth: httpapi.User,
		Summary: "The user who asks",
	}, s.httpMe)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetUserByUUID", Method: "GET", Path: "/rest/user/{uuid}", Tag: "User", Auth: httpapi.User,
		Summary: "A user of the account",
	}, s.httpUser)
	httpapi.Handle(a, httpapi.Op{
		ID: "UpdateUserByUUID", Method: "PATCH", Path: "/rest/user/{uuid}", Tag: "User", Auth: httpapi.User,
		Summary: "Change a user; a new password ends all JWTs of the user",
	}, s.httpPatchUser)
	httpapi.Handle(a, httpapi.Op{
		ID: "DeleteUserByUUID", Method: "DELETE", Path: "/rest/user/{uuid}", Tag: "User", Auth: httpapi.User,
		Summary: "Remove a user: signed out everywhere, API tokens end",
	}, s.httpDeleteUser)
	httpapi.Handle(a, httpapi.Op{
		ID: "UploadAvatar", Method: "POST", Path: "/rest/user/{uuid}/avatar", Tag: "User", Auth: httpapi.User, Multipart: true, MaxBody: maxAvatar, Live: true,
		Summary: "Upload a picture: png, jpeg or webp",
	}, s.httpUploadAvatar)
	httpapi.Handle(a, httpapi.Op{
		ID: "RemoveAvatar", Method: "DELETE", Path: "/rest/user/{uuid}/avatar", Tag: "User", Auth: httpapi.User,
		Summary: "Remove the picture",
	}, s.httpRemoveAvatar)
	a.Mount("GET /object/avatar/{file}", s.showAvatar(a))
	httpapi.Handle(a, httpapi.Op{
		ID: "RequestUserPasswordResetEmail", Method: "GET", Path: "/rest/user/password_reset", Tag: "User", Auth: httpapi.NoAuth,
		Summary: "Mail a token that sets a new password",
	}, s.httpAskReset)
	httpapi.Handle(a, httpapi.Op{
		ID: "ChangeUserPasswordViaResetToken", Method: "POST", Path: "/rest/user/password_reset", Tag: "User", Auth: httpapi.NoAuth, Secret: true, Keeps: true,
		Summary: "Set a new password with a mailed token",
	}, s.httpReset)
}

// userMembers are those of UserNew that stand for the user alone.
type userMembers struct {
	Email       string        `json:"email" required:"true" minLength:"5" maxLength:"80" format:"email"`
	Password    string        `json:"password" required:"true" minLength:"3" maxLength:"255" format:"password"`
	PhoneNumber *string       `json:"phone_number" minLength:"3" maxLength:"16" lenient:"true"`
	FirstName   *string       `json:"first_name" minLength:"1" maxLength:"24"`
	LastName    *string       `json:"last_name" minLength:"1" maxLength:"24"`
	Gender      *string       `json:"gender" minLength:"1" maxLength:"40"`
	DOB         *httpapi.Time `json:"dob" doc:"date of birth"`
	Avatar      *string       `json:"avatar" minLength:"10" maxLength:"255" format:"url"`
	Role        *string       `json:"role" enum:"Admin,User,Provider" doc:"other than User: platform operators only"`
}

// Validate checks what the tags do not say.
func (in *userMembers) Validate(f *fault.Fields) {
	checkUser(f, &User{Email: in.Email, Role: RoleUser, PhoneNumber: val(in.PhoneNumber), FirstName: val(in.FirstName), LastName: val(in.LastName), Gender: val(in.Gender), Avatar: val(in.Avatar)})
}

// userNew is UserNew of a sign-up.
type userNew struct {
	userMembers
	Account *struct {
		Name  string `json:"name" required:"true" minLength:"1" maxLength:"255"`
		Email string `json:"email" required:"true" minLength:"5" maxLength:"80" format:"email"`
	} `json:"account" doc:"default: name and e-mail of the user"`
}

// Validate checks what the tags do not say.
func (in *userNew) Validate(f *fault.Fields) {
	in.userMembers.Validate(f)
	if in.Account != nil {
		checkEmail(f, "account.email", in.Account.Email)
	}
}

func (in *userMembers) plain() NewUser {
	n := NewUser{
		Email: in.Email, Password: in.Password, PhoneNumber: val(in.PhoneNumber), FirstName: val(in.FirstName), LastName: val(in.LastName),
		Gender: val(in.Gender), Avatar: val(in.Avatar), Role: Role(val(in.Role)),
	}
	if in.DOB != nil {
		n.DOB = in.DOB.Time
	}
	return n
}

// val is what a pointer holds, or the zero value.
func val[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (s *Service) httpSignUp(ctx context.Context, in *userNew) (userWire, error) {
	n := in.plain()
	if in.Account != nil {
		n.AccountName, n.AccountEmail = in.Account.Name, in.Account.Email
	}
	n.Made = s.keepUser
	u, err := s.SignUp(ctx, asker(httpapi.Who(ctx)), n)
	return s.shown(ctx, u, err)
}

// keepUser keeps the answer to the request's key with the user. The hash of the password is too slow for the whole handler to stand in a transaction.
func (s *Service) keepUser(ctx context.Context, tx *db.Tx, u *User) error {
	if !httpapi.Keyed(ctx) {
		return nil
	}
	w, err := s.userFull(ctx, tx, u)
	if err != nil {
		return err
	}
	answer, err := httpapi.Prepare(ctx, w)
	answer.In(tx)
	return err
}

// shown renders a user as the payload itself, unless there was a fault.
func (s *Service) shown(ctx context.Context, u User, err error) (userWire, error) {
	if err != nil {
		return userWire{}, err
	}
	return s.userFull(ctx, s.db.Read(), &u)
}

func (s *Service) httpMe(ctx context.Context, _ *struct{}) (userWire, error) {
	u, err := loadUser(ctx, s.db.Read(), httpapi.Who(ctx).User)
	return s.shown(ctx, u, err)
}

type userPath struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (s *Service) httpUser(ctx context.Context, in *userPath) (userWire, error) {
	u, err := s.User(ctx, asker(httpapi.Who(ctx)), in.UUID)
	return s.shown(ctx, u, err)
}

// userUpdate is UserUpdate.
type userUpdate struct {
	UUID        string                    `path:"uuid" format:"uuid"`
	Email       httpapi.Opt[string]       `json:"email" minLength:"5" maxLength:"80" format:"email" notnull:"true"`
	Password    httpapi.Opt[string]       `json:"password" minLength:"3" maxLength:"255" format:"password" notnull:"true"`
	PhoneNumber httpapi.Opt[string]       `json:"phone_number" minLength:"3" maxLength:"16" lenient:"true"`
	FirstName   httpapi.Opt[string]       `json:"first_name" minLength:"1" maxLength:"24"`
	LastName    httpapi.Opt[string]       `json:"last_name" minLength:"1" maxLength:"24"`
	Gender      httpapi.Opt[string]       `json:"gender" minLength:"1" maxLength:"40"`
	DOB         httpapi.Opt[httpapi.Time] `json:"dob"`
	Avatar      httpapi.Opt[string]       `json:"avatar" minLength:"10" maxLength:"255" format:"url"`
	Role        httpapi.Opt[string]       `json:"role" enum:"Admin,User,Provider" notnull:"true"`
}

// Validate checks what the tags do not say.
func (in *userUpdate) Validate(f *fault.Fields) {
	trial := User{Email: "some@body", Role: RoleUser}
	p := in.patch()
	p.apply(&trial)
	checkUser(f, &trial)
}

func (in *userUpdate) patch() UserPatch {
	p := UserPatch{
		Email: newValue(in.Email), Password: newValue(in.Password), PhoneNumber: newValue(in.PhoneNumber), FirstName: newValue(in.FirstName),
		LastName: newValue(in.LastName), Gender: newValue(in.Gender), Avatar: newValue(in.Avatar),
	}
	if in.DOB.Set {
		p.DOB = &in.DOB.V.Time
	}
	if in.Role.Set {
		r := Role(in.Role.V)
		p.Role = &r
	}
	return p
}

func (s *Service) httpPatchUser(ctx context.Context, in *userUpdate) (userWire, error) {
	u, err := s.UpdateUser(ctx, asker(httpapi.Who(ctx)), in.UUID, in.patch())
	return s.shown(ctx, u, err)
}

func (s *Service) httpDeleteUser(ctx context.Context, in *userPath) (httpapi.Empty, error) {
	_, err := s.Deactivate(ctx, asker(httpapi.Who(ctx)), in.UUID)
	return httpapi.Empty{}, err
}

type avatarUpload struct {
	UUID string       `path:"uuid" format:"uuid"`
	File httpapi.File `form:"file" required:"true"`
}

func (s *Service) httpUploadAvatar(ctx context.Context, in *avatarUpload) (userWire, error) {
	kind := http.DetectContentType(in.File.Data)
	for ext, k := range pictureKinds {
		if k == kind {
			u, err := s.PutAvatar(ctx, asker(httpapi.Who(ctx)), in.UUID, ext, bytes.NewReader(in.File.Data))
			return s.shown(ctx, u, err)
		}
	}
	return userWire{}, fault.Invalid("file", "must be a png, jpeg or webp picture", in.File.Name)
}

// showAvatar serves a picture to everybody who knows its address.
func (s *Service) showAvatar(a *httpapi.API) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, kind, err := s.openAvatar(r.Context(), strings.TrimPrefix(r.URL.Path, "/object/avatar/"))
		if err != nil {
			a.Fail(w, r, err)
			return
		}
		defer body.Close()
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "public, max-age=300")
		http.ServeContent(w, r, "", time.Time{}, body)
	})
}

func (s *Service) httpRemoveAvatar(ctx context.Context, in *userPath) (userWire, error) {
	u, err := s.RemoveAvatar(ctx, asker(httpapi.Who(ctx)), in.UUID)
	return s.shown(ctx, u, err)
}

type resetAsk struct {
	Email    string `query:"email" required:"true" maxLength:"254"`
	Callback string `query:"callback" format:"url" doc:"page that takes the token as ?token="`
}

func (s *Service) httpAskReset(ctx context.Context, in *resetAsk) (httpapi.Empty, error) {
	return httpapi.Empty{}, s.AskReset(ctx, in.Email, in.Callback)
}

type resetDo struct {
	Token    string `json:"token" required:"true" maxLength:"255"`
	Password string `json:"password" required:"true" minLength:"3" maxLength:"255" format:"password"`
}

func (s *Service) httpReset(ctx context.Context, in *resetDo) (httpapi.Empty, error) {
	done := func(ctx context.Context, tx *db.Tx) error {
		answer, err := httpapi.Prepare(ctx, httpapi.Empty{})
		answer.In(tx)
		return err
	}
	return httpapi.Empty{}, s.Reset(ctx, in.Token, in.Password, done)
}

func (s *Service) cartRoutes(a *httpapi.API) {
	httpapi.Handle(a, httpapi.Op{
		ID: "GetCartEntries", Method: "GET", Path: "/rest/user/cart", Tag: "User", Auth: httpapi.User,
		Summary: "Scratch data of the user's programs",
	}, s.httpCart)
	httpapi.Handle(a, httpapi.Op{
		ID: "CreateUserCartEntry", Method: "POST", Path: "/rest/user/cart", Tag: "User", Auth: httpapi.User, Status: 201,
		Summary: "Keep an entry",
	}, s.httpNewCart)
	httpapi.Handle(a, httpapi.Op{
		ID: "ClearUserCart", Method: "DELETE", Path: "/rest/user/cart", Tag: "User", Auth: httpapi.User,
		Summary: "Remove all entries",
	}, s.httpClearCart)
	httpapi.Handle(a, httpapi.Op{
		ID: "UpdateUserCartEntry", Method: "PATCH", Path: "/rest/user/cart/{uuid}", Tag: "User", Auth: httpapi.User,
		Summary: "Change an entry",
	}, s.httpPatchCart)
	httpapi.Handle(a, httpapi.Op{
		ID: "DeleteUserCartEntry", Method: "DELETE", Path: "/rest/user/cart/{uuid}", Tag: "User", Auth: httpapi.User,
		Summary: "Remove an entry",
	}, s.httpDeleteCart)
}

type cartWire struct {
	UUID       string          `json:"uuid"`
	Payload    json.RawMessage `json:"payload"`
	TTL        int64           `json:"ttl"`
	ExpiredOn  httpapi.Time    `json:"expired_on"`
	CreatedOn  httpapi.Time    `json:"created_on"`
	ModifiedOn httpapi.Time    `json:"modified_on"`
}

func cartView(e *CartEntry) cartWire {
	return cartWire{
		UUID: e.ID, Payload: e.Payload, TTL: int64(e.TTL / time.Second), ExpiredOn: httpapi.TimeOf(e.ExpiredOn),
		CreatedOn: httpapi.TimeOf(e.CreatedOn), ModifiedOn: httpapi.TimeOf(e.ModifiedOn),
	}
}

func (s *Service) httpCart(ctx context.Context, in *httpapi.List) ([]cartWire, error) {
	list, err := s.Cart(ctx, httpapi.Who(ctx).User)
	if err != nil {
		return nil, err
	}
	return httpapi.Listed(ctx, *in, list, func(e *CartEntry) (cartWire, error) { return cartView(e), nil })
}

type cartNew struct {
	Payload json.RawMessage `json:"payload" required:"true" doc:"any JSON, at most 64 KiB"`
	TTL     int64           `json:"ttl" min:"60" default:"2592000" doc:"seconds"`
}

// Validate checks the size of the payload.
func (in *cartNew) Validate(f *fault.Fields) { checkPayload(f, in.Payload) }

// lasting is a number of seconds as a duration, the longest one for those that are longer.
func lasting(seconds int64) time.Duration {
	return time.Duration(min(seconds, int64(math.MaxInt64/time.Second))) * time.Second
}

func (s *Service) httpNewCart(ctx context.Context, in *cartNew) (cartWire, error) {
	e, err := s.AddToCart(ctx, httpapi.Who(ctx).User, in.Payload, lasting(in.TTL))
	return cartView(&e), err
}

type cartPatch struct {
	UUID    string             `path:"uuid" format:"uuid"`
	Payload json.RawMessage    `json:"payload"`
	TTL     httpapi.Opt[int64] `json:"ttl" min:"60" notnull:"true"`
}

// Validate checks the size of the payload.
func (in *cartPatch) Validate(f *fault.Fields) { checkPayload(f, in.Payload) }

func (s *Service) httpPatchCart(ctx context.Context, in *cartPatch) (cartWire, error) {
	e, err := s.ChangeCart(ctx, httpapi.Who(ctx).User, in.UUID, in.Payload, lasting(in.TTL.V))
	return cartView(&e), err
}

func (s *Service) httpDeleteCart(ctx context.Context, in *userPath) (cartWire, error) {
	e, err := s.TakeFromCart(ctx, httpapi.Who(ctx).User, in.UUID)
	return cartView(&e), err
}

func (s *Service) httpClearCart(ctx context.Context, _ *struct{}) (httpapi.Empty, error) {
	return httpapi.Empty{}, s.ClearCart(ctx, httpapi.Who(ctx).User)
}
