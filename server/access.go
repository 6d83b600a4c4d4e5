package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/access"
)

// Every call passes two gates. The first looks at its headers, before a byte of the body is read:
// who calls? The second is an interceptor, which all protocols share: may they call this?

// authenticated lets only known callers through to the calls of a handler.
func (s *Server) authenticated(next http.Handler) http.Handler {
	if !s.config.AuthRequired && s.rates == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.identify(callOf(r.Context()), r); err != nil {
			refuseCaller(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuseCaller sends an error to a caller who is not known, may not call from there, or calls too
// often.
func refuseCaller(w http.ResponseWriter, r *http.Request, err error) {
	failed := connectError(err)
	if failed.Code() == connect.CodeUnauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	for name, values := range failed.Meta() {
		w.Header()[name] = values
	}
	refuse(w, r, &restError{status: httpStatus(failed.Code()), err: failed})
}

// identify finds out who makes a request, and counts it.
func (s *Server) identify(c *call, r *http.Request) error {
	var err error
	if s.config.AuthRequired {
		c.caller, err = s.callerOf(c, r)
	}
	if limited := s.countCall(c); limited != nil {
		return limited
	}
	return err
}

// callerOf returns who makes a request: the key that it is sent with, or that of its session. It
// notes when that ends.
func (s *Server) callerOf(c *call, r *http.Request) (*access.Caller, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, secret, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || secret == "" {
			return nil, access.ErrInvalid
		}
		caller, err := s.keys.Authenticate(r.Context(), strings.TrimSpace(secret), c.address)
		if err == nil && caller.ExpireTime != nil {
			c.ends = *caller.ExpireTime
		}
		return caller, err
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		caller, ends, err := s.keys.Resume(r.Context(), cookie.Value, c.address)
		c.ends = ends
		return caller, err
	}
	return nil, access.ErrMissing
}

// addressOf returns the address that a request comes from. Where that is a trusted proxy's, it is
// the last one in X-Forwarded-For that is not: earlier ones are what the sender says.
func (s *Server) addressOf(r *http.Request) netip.Addr {
	port, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.IPv6Unspecified() // of a request that was not received from a network
	}
	address := port.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.isTrustedProxy(address); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = hop.Unmap().WithZone("")
	}
	return address
}

func (s *Server) isTrustedProxy(address netip.Addr) bool {
	return slices.ContainsFunc(s.config.TrustedProxies, func(network netip.Prefix) bool { return network.Contains(address) })
}

// permissionsOf reads what the methods of services need, by procedure, such as
// /transfers.v1.AccountService/GetAccount. It fails when a method does not say.
func permissionsOf(services []service) (map[string]access.Permissions, error) {
	needed := make(map[string]access.Permissions)
	for _, service := range services {
		descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service.name))
		if err != nil {
			return nil, fmt.Errorf("permissions of %s: %w", service.name, err)
		}
		methods := descriptor.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			method := methods.Get(i)
			if !proto.HasExtension(method.Options(), transfersv1.E_Access) {
				return nil, fmt.Errorf("permissions of %s: the method has no option access", method.FullName())
			}
			option, _ := proto.GetExtension(method.Options(), transfersv1.E_Access).(*transfersv1.Access)
			set, err := access.ParsePermissions(option.GetPermissions())
			if err != nil {
				return nil, fmt.Errorf("permissions of %s: %w", method.FullName(), err)
			}
			needed["/"+service.name+"/"+string(method.Name())] = set
		}
	}
	return needed, nil
}

// authorize refuses calls that their caller may not make.
func (s *Server) authorize(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := s.mayCall(ctx, req.Spec().Procedure, req.Any()); err != nil {
			return nil, err
		}
		if err := s.countItems(ctx, req.Any()); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// mayCall returns an error unless the caller has the permissions that a method needs, and those
// that the request needs beside.
func (s *Server) mayCall(ctx context.Context, procedure string, request any) error {
	if !s.config.AuthRequired {
		return nil
	}
	caller := callOf(ctx).caller
	if caller == nil {
		return access.ErrMissing
	}
	needed, known := s.permissions[procedure]
	if !known {
		return fmt.Errorf("the permissions of %s are not known", procedure)
	}
	if err := caller.Require(needed, ""); err != nil {
		return err
	}
	return requestNeeds(caller, request)
}

// requestNeeds returns an error unless the caller has the permissions that only some requests of
// its method need. Whether an equity account pays is for the ledger to find, see mayNotIssue.
func requestNeeds(caller *access.Caller, request any) error {
	switch req := request.(type) {
	case *transfersv1.CreateAccountRequest:
		if isSome(req.GetInitialBalance()) {
			if err := caller.Require(access.MoneyIssue, "for an initial balance"); err != nil {
				return err
			}
		}
		if isSome(req.GetMinBalance()) || req.MaxBalance != nil || req.MaxTransferAmount != nil || len(req.GetLimits()) > 0 {
			return policyNeeds(caller, req.GetMinBalance())
		}
	case *transfersv1.UpdateAccountRequest:
		paths := req.GetUpdateMask().GetPaths()
		if len(paths) == 0 && req.GetAccount() != nil {
			paths = setPaths(req.GetAccount())
		}
		for _, path := range paths {
			switch path {
			case "display_name", "image_url", "metadata":
			default:
				return policyNeeds(caller, req.GetAccount().GetMinBalance())
			}
		}
	case *transfersv1.ReverseTransferRequest:
		if req.GetForce() {
			return caller.Require(access.TransfersForce, "for force")
		}
	}
	return nil
}

// policyNeeds is for changes of what restricts an account. A negative floor is money lent.
func policyNeeds(caller *access.Caller, minBalance string) error {
	if err := caller.Require(access.AccountsPolicy, "for floors, ceilings, limits, blocks and the status"); err != nil {
		return err
	}
	if strings.HasPrefix(minBalance, "-") {
		return caller.Require(access.MoneyIssue, "for a negative floor")
	}
	return nil
}

// isSome reports whether an amount, which was not validated yet, is not zero.
func isSome(amount string) bool { return strings.ContainsAny(amount, "123456789") }

// mayNotIssue reports whether the caller must not pay from an equity account.
func mayNotIssue(ctx context.Context) bool {
	caller := callOf(ctx).caller
	return caller != nil && !caller.Permissions.Has(access.MoneyIssue)
}

// errKeyChanged ends the streams of a key that may do something else now, or has another secret.
// They go on after their last cursor, if the key permits it.
var errKeyChanged = errors.New("the API key was changed; go on after the last cursor")

// keyEnded returns why the streams of a key end.
func (s *Server) keyEnded(caller *access.Caller) error {
	if s.keys.Has(caller.KeyID) {
		return errKeyChanged
	}
	return access.ErrInvalid
}

// authorizeStreams refuses streams that their caller may not read, and ends those whose key was
// changed or revoked, or has expired.
func (s *Server) authorizeStreams(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := s.mayCall(ctx, conn.Spec().Procedure, nil); err != nil {
			return err
		}
		caller := callOf(ctx).caller
		if caller == nil {
			return next(ctx, conn)
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		if ends := callOf(ctx).ends; !ends.IsZero() {
			timer := time.AfterFunc(time.Until(ends), func() { cancel(access.ErrExpired) })
			defer timer.Stop()
		}
		go func() {
			select {
			case <-caller.Ended():
				cancel(s.keyEnded(caller))
			case <-ctx.Done():
			}
		}()
		err := next(ctx, conn)
		if cause := context.Cause(ctx); err != nil && cause != nil && accessError(cause) != nil {
			return cause
		}
		return err
	}
}

// accessError maps the errors of package access; nil: it is none of them.
func accessError(err error) *connect.Error {
	var (
		denied  *access.PermissionError
		network *access.NetworkError
	)
	switch {
	case errors.Is(err, errKeyChanged):
		return newError(connect.CodeUnavailable, errKeyChanged, info("CREDENTIALS_CHANGED", nil), retry(unavailableRetry))
	case errors.Is(err, access.ErrMissing):
		return newError(connect.CodeUnauthenticated, access.ErrMissing, info("CREDENTIALS_MISSING", nil))
	case errors.Is(err, access.ErrInvalid):
		return newError(connect.CodeUnauthenticated, err, info("CREDENTIALS_INVALID", nil))
	case errors.Is(err, access.ErrExpired):
		return newError(connect.CodeUnauthenticated, access.ErrExpired, info("CREDENTIALS_EXPIRED", nil))
	case errors.Is(err, access.ErrUnavailable):
		return newError(connect.CodeUnavailable, access.ErrUnavailable, info("AUTH_UNAVAILABLE", nil), retry(unavailableRetry))
	case errors.As(err, &network):
		return newError(connect.CodePermissionDenied, network, info("NETWORK_NOT_ALLOWED", map[string]string{"address": network.Address.String()}))
	case errors.As(err, &denied):
		return permissionDenied(denied)
	default:
		return nil
	}
}

func permissionDenied(err *access.PermissionError) *connect.Error {
	return newError(connect.CodePermissionDenied, err,
		info("PERMISSION_MISSING", map[string]string{"permission": err.Missing.Names()[0]}))
}
