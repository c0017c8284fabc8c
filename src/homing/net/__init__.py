"""What we say to the world: DNS questions, SMTP deliveries, webhooks, SMS."""
