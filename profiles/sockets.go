package profiles

// socketBindingGroup describes named ports. A domain's has no offset of its
// own: the server group and the server have.
func socketBindingGroup(m Mode) *Description {
	d := &Description{
		Text:   "Named ports; every port of a server is its binding's plus the server's offset.",
		Effect: Live,
		Attributes: []Attribute{
			{Name: "default-interface", Type: String, Required: true, Literal: true, Reference: "interface", Effect: Restart,
				Text: "The interface of the bindings that name none."},
			{Name: "port-offset", Type: Int, Default: int64(0), Range: &Range{-65535, 65535}, Effect: Restart,
				Text: "Added to every port, where neither the server nor its group has an offset."},
		},
		Children: []Child{
			{Type: "socket-binding", Name: Wildcard, Description: socketBinding()},
			{Type: "remote-destination-outbound-socket-binding", Name: Wildcard, Description: outboundBinding()},
		},
	}
	if m == Domain {
		d.Attributes = append(d.Attributes, Attribute{Name: "includes", Type: List, Literal: true, Reference: "socket-binding-group", Effect: Restart,
			Text: "Groups whose bindings this one has as well, unless it has its own of the name."})
	}
	return d
}

func socketBinding() *Description {
	return &Description{
		Text:   "A port to listen on.",
		Effect: Restart,
		Attributes: []Attribute{
			{Name: "interface", Type: String, Literal: true, Reference: "interface", Effect: Restart, Text: "Where to listen, instead of the group's default."},
			{Name: "port", Type: Int, Default: int64(0), Range: &Range{0, 65535}, Effect: Restart, Text: "The port before the offset; 0 is any free port."},
			{Name: "fixed-port", Type: Bool, Default: false, Effect: Restart, Text: "The offset is not added."},
			{Name: "multicast-address", Type: String, Effect: Restart, Text: "The multicast group to join."},
			{Name: "multicast-port", Type: Int, Range: &Range{1, 65535}, Effect: Restart, Text: "The port of the multicast group; the offset is not added."},
			{Name: "client-mappings", Type: Object, Effect: Restart, Text: "What clients elsewhere use instead."},
		},
	}
}

func outboundBinding() *Description {
	return &Description{
		Text:   "An address to connect to. The offset is not added.",
		Effect: Reload,
		Attributes: []Attribute{
			{Name: "host", Type: String, Required: true, Effect: Reload, Text: "The host's name or address."},
			{Name: "port", Type: Int, Required: true, Range: &Range{1, 65535}, Effect: Reload, Text: "The port."},
			{Name: "source-interface", Type: String, Literal: true, Reference: "interface", Effect: Reload, Text: "Where to connect from."},
			{Name: "source-port", Type: Int, Range: &Range{0, 65535}, Effect: Reload, Text: "The port to connect from."},
			{Name: "fixed-source-port", Type: Bool, Default: false, Effect: Reload, Text: "The offset is not added to source-port."},
		},
	}
}

func networkInterface() *Description {
	return &Description{
		Text:   "A named address to listen on. A host's interface goes before the domain's of the same name, a server's before its host's.",
		Effect: Restart,
		Attributes: []Attribute{
			{Name: "inet-address", Type: String, Effect: Restart, Text: "The address or host name."},
			{Name: "any-address", Type: Bool, Default: false, Effect: Restart, Text: "All addresses of the machine."},
			{Name: "nic", Type: String, Effect: Restart, Text: "The first address of this network card."},
			{Name: "loopback-address", Type: String, Effect: Restart, Text: "This address of the loopback card."},
		},
	}
}
