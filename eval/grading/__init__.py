"""Reading and comparing answers: rules without benches."""
