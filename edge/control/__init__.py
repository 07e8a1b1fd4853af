"""OSC control datagrams to changes of the running face."""
