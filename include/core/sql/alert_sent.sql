-- One alert, which a receiver has by now.
update ml.alerts set delivery = 'sent' where as_of = %(as_of)s and kind = %(kind)s and subject = %(subject)s
